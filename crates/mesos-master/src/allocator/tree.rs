//! Who comes first: a tree of roles `a/b/c` with the frameworks of each role as leaves. Every level is
//! kept in order of dominant shares, so that a change costs the depth of the tree and finding the first
//! costs nothing.
//!
//! A role competes with its siblings as the sum of its subtree, and with its own children as a leaf of
//! its own (Mesos' virtual leaf ".").

use std::collections::BTreeMap;
use std::sync::Arc;

use mesos_api::{FrameworkId, Resource, Resources, ValueType};

/// Mesos computes scalars with three decimals.
const UNITS_PER_ONE: f64 = 1000.0;

/// Index of a node; of a framework in a role, mostly.
pub(super) type NodeId = usize;

/// Amounts by index of the resource's name, in thousandths.
pub(super) type Amounts = Vec<i64>;

const ROOT: NodeId = 0;

/// A place in the order of siblings. Shares are not negative, so their bits order as they do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// It left its last offers unused, and lets others go first for a while.
    yields: bool,
    share: u64,
    served: u64,
    name: Arc<str>,
}

#[derive(Debug)]
struct Node {
    parent: NodeId,
    name: Arc<str>,
    kind: Kind,
    held: Amounts,
    /// The part of `held` that comes from reservations.
    reserved: Amounts,
    served: u64,
    children: usize,
    place: Option<Place>,
    waiting: BTreeMap<Place, NodeId>,
}

#[derive(Debug)]
enum Kind {
    Root,
    Role,
    /// The frameworks of a role, as against the roles below it.
    Leaf,
    Framework {
        id: FrameworkId,
        role: Arc<str>,
        subscribed: bool,
        waits: bool,
        yields: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tree {
    names: Vec<String>,
    total: Amounts,
    weights: BTreeMap<String, f64>,
    nodes: Vec<Node>,
    unused: Vec<NodeId>,
    /// The node of each role, and its leaf.
    roles: BTreeMap<Arc<str>, (NodeId, NodeId)>,
    frameworks: BTreeMap<FrameworkId, BTreeMap<Arc<str>, NodeId>>,
    /// The total or a weight changed, so all shares have.
    stale: bool,
}

impl Tree {
    pub(super) fn new(weights: BTreeMap<String, f64>) -> Self {
        Self {
            names: Vec::new(),
            total: Vec::new(),
            weights,
            nodes: vec![Node::new(ROOT, Arc::from(""), Kind::Root)],
            unused: Vec::new(),
            roles: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            stale: false,
        }
    }

    /// Sums of the scalars, by index of their names.
    pub(super) fn amounts(&mut self, resources: &Resources) -> Amounts {
        let mut sums = vec![0; self.names.len()];
        for resource in resources {
            if let Some(amount) = thousandths(resource) {
                let index = self.index(&resource.name);
                if sums.len() <= index {
                    sums.resize(index + 1, 0);
                }
                sums[index] += amount;
            }
        }
        sums
    }

    /// Index of a name; new names are learnt.
    pub(super) fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.index_of(name) {
            return index;
        }
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    pub(super) fn change_total(&mut self, amounts: &Amounts, sign: i64) {
        change(&mut self.total, amounts, sign);
        self.stale = true;
    }

    pub(super) fn set_weights(&mut self, weights: BTreeMap<String, f64>) {
        self.weights = weights;
        self.stale = true;
    }

    pub(super) fn weights(&self) -> &BTreeMap<String, f64> {
        &self.weights
    }

    /// The node of a framework in a role, made if it is not there.
    pub(super) fn framework(&mut self, id: &FrameworkId, role: &str) -> NodeId {
        if let Some(node) = self.find(id, role) {
            return node;
        }
        let leaf = self.leaf(role);
        let role: Arc<str> = Arc::from(role);
        let name: Arc<str> = Arc::from(id.value.as_str());
        let kind = Kind::Framework {
            id: id.clone(),
            role: Arc::clone(&role),
            subscribed: false,
            waits: false,
            yields: false,
        };
        let node = self.insert(leaf, name, kind);
        self.frameworks.entry(id.clone()).or_default().insert(role, node);
        node
    }

    pub(super) fn find(&self, id: &FrameworkId, role: &str) -> Option<NodeId> {
        self.frameworks.get(id)?.get(role).copied()
    }

    /// All nodes of a framework, with their roles.
    pub(super) fn nodes_of(&self, id: &FrameworkId) -> Vec<(Arc<str>, NodeId)> {
        let nodes = self.frameworks.get(id).into_iter().flatten();
        nodes.map(|(role, node)| (Arc::clone(role), *node)).collect()
    }

    /// Whose node it is.
    pub(super) fn owner(&self, node: NodeId) -> Option<(&FrameworkId, &Arc<str>)> {
        match &self.nodes[node].kind {
            Kind::Framework { id, role, .. } => Some((id, role)),
            Kind::Root | Kind::Role | Kind::Leaf => None,
        }
    }

    fn leaf(&mut self, role: &str) -> NodeId {
        let (mut parent, mut leaf) = (ROOT, ROOT);
        for prefix in prefixes(role) {
            (parent, leaf) = match self.roles.get(prefix) {
                Some(nodes) => *nodes,
                None => {
                    let name: Arc<str> = Arc::from(prefix);
                    let node = self.insert(parent, Arc::clone(&name), Kind::Role);
                    let leaf = self.insert(node, Arc::from(format!("{prefix}/.")), Kind::Leaf);
                    self.roles.insert(name, (node, leaf));
                    (node, leaf)
                }
            };
        }
        leaf
    }

    fn insert(&mut self, parent: NodeId, name: Arc<str>, kind: Kind) -> NodeId {
        self.nodes[parent].children += 1;
        let node = Node::new(parent, name, kind);
        match self.unused.pop() {
            Some(index) => {
                self.nodes[index] = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    /// Adds to what a framework holds, or takes away. `reserved` is the part from reservations.
    pub(super) fn hold(&mut self, node: NodeId, amounts: &Amounts, reserved: &Amounts, sign: i64) {
        self.note_held(node, amounts, reserved, sign);
        self.place(node);
    }

    /// Notes what a framework was served with, and that it was.
    pub(super) fn serve(&mut self, node: NodeId, amounts: &Amounts, reserved: &Amounts) {
        self.note_held(node, amounts, reserved, 1);
        let mut at = node;
        while at != ROOT {
            self.nodes[at].served += 1;
            at = self.nodes[at].parent;
        }
        self.place(node);
    }

    fn note_held(&mut self, node: NodeId, amounts: &Amounts, reserved: &Amounts, sign: i64) {
        let mut at = node;
        loop {
            change(&mut self.nodes[at].held, amounts, sign);
            change(&mut self.nodes[at].reserved, reserved, sign);
            if at == ROOT {
                break;
            }
            at = self.nodes[at].parent;
        }
    }

    /// Whether the framework is still there, and whether it wants offers for the role.
    pub(super) fn set_state(&mut self, node: NodeId, is_subscribed: bool, wants: bool) {
        if let Kind::Framework { subscribed, waits, .. } = &mut self.nodes[node].kind {
            *subscribed = is_subscribed;
            *waits = is_subscribed && wants;
        }
        self.place(node);
    }

    /// Lets others go first, or no longer.
    pub(super) fn set_yields(&mut self, node: NodeId, yielding: bool) {
        if let Kind::Framework { yields, .. } = &mut self.nodes[node].kind
            && *yields != yielding
        {
            *yields = yielding;
            self.place(node);
        }
    }

    /// Forgets a node nobody subscribes to and through which nothing is held, and what was only there
    /// for it. True if it is gone.
    pub(super) fn tidy(&mut self, node: NodeId) -> bool {
        let found = &self.nodes[node];
        let Kind::Framework { id, role, subscribed: false, .. } = &found.kind else { return false };
        if found.held.iter().any(|amount| *amount != 0) {
            return false;
        }
        let (id, role) = (id.clone(), Arc::clone(role));
        if let Some(roles) = self.frameworks.get_mut(&id) {
            roles.remove(&role);
            if roles.is_empty() {
                self.frameworks.remove(&id);
            }
        }
        self.remove(node);
        // A role without frameworks stands while roles below it do, and its leaf with it.
        let mut path: &str = &role;
        while let Some((node, leaf)) = self.roles.get(path).copied() {
            if self.nodes[leaf].children > 0 || self.nodes[node].children > 1 {
                break;
            }
            self.roles.remove(path);
            self.remove(leaf);
            self.remove(node);
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        true
    }

    /// Removes a node without children.
    fn remove(&mut self, node: NodeId) {
        let parent = self.nodes[node].parent;
        if let Some(place) = self.nodes[node].place.take() {
            self.nodes[parent].waiting.remove(&place);
        }
        self.nodes[parent].children -= 1;
        self.nodes[node] = Node::new(ROOT, Arc::from(""), Kind::Root);
        self.unused.push(node);
        self.place(parent);
    }

    /// Puts a node and those above it where they belong.
    fn place(&mut self, node: NodeId) {
        let mut at = node;
        while at != ROOT {
            let place = self.place_of(at);
            let parent = self.nodes[at].parent;
            if self.nodes[at].place != place {
                if let Some(old) = self.nodes[at].place.take() {
                    self.nodes[parent].waiting.remove(&old);
                }
                if let Some(place) = &place {
                    self.nodes[parent].waiting.insert(place.clone(), at);
                }
                self.nodes[at].place = place;
            }
            at = parent;
        }
    }

    /// None for who does not wait.
    fn place_of(&self, node: NodeId) -> Option<Place> {
        let found = &self.nodes[node];
        let yields = match &found.kind {
            Kind::Framework { waits: true, yields, .. } => *yields,
            Kind::Framework { .. } => return None,
            Kind::Root | Kind::Role | Kind::Leaf => found.waiting.first_key_value()?.0.yields,
        };
        let weight = match found.kind {
            Kind::Role => self.weights.get(&*found.name).copied().unwrap_or(1.0),
            Kind::Root | Kind::Leaf | Kind::Framework { .. } => 1.0,
        };
        Some(Place {
            yields,
            share: (self.share(&found.held) / weight).to_bits(),
            served: found.served,
            name: Arc::clone(&found.name),
        })
    }

    /// The dominant share: the largest part held of any one resource.
    fn share(&self, held: &Amounts) -> f64 {
        let parts = held.iter().zip(&self.total).filter(|(_, total)| **total > 0);
        parts.map(|(held, total)| (*held).max(0) as f64 / *total as f64).fold(0.0, f64::max)
    }

    /// The dominant share of a role with all below it.
    pub(super) fn role_share(&self, role: &str) -> f64 {
        self.roles.get(role).map_or(0.0, |(node, _)| self.share(&self.nodes[*node].held))
    }

    /// Makes the order true after the total or a weight has changed.
    pub(super) fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let frameworks: Vec<NodeId> =
            self.frameworks.values().flat_map(|roles| roles.values().copied()).collect();
        for node in frameworks {
            self.place(node);
        }
    }

    /// The first in order for which `test` says yes.
    pub(super) fn first(&self, mut test: impl FnMut(NodeId) -> bool) -> Option<NodeId> {
        self.first_below(ROOT, &mut test)
    }

    fn first_below(&self, at: NodeId, test: &mut impl FnMut(NodeId) -> bool) -> Option<NodeId> {
        self.nodes[at].waiting.values().find_map(|child| match self.nodes[*child].kind {
            Kind::Framework { .. } => test(*child).then_some(*child),
            Kind::Root | Kind::Role | Kind::Leaf => self.first_below(*child, test),
        })
    }

    /// Whether anybody wants offers.
    pub(super) fn anybody_waits(&self) -> bool {
        !self.nodes[ROOT].waiting.is_empty()
    }

    /// What a role and all below it hold of a resource, without what comes from reservations.
    pub(super) fn unreserved_of(&self, role: &str, index: usize) -> i64 {
        let Some(node) = self.roles.get(role).map(|(node, _)| &self.nodes[*node]) else { return 0 };
        let at = |amounts: &Amounts| amounts.get(index).copied().unwrap_or(0);
        at(&node.held) - at(&node.reserved)
    }
}

impl Node {
    fn new(parent: NodeId, name: Arc<str>, kind: Kind) -> Self {
        Self {
            parent,
            name,
            kind,
            held: Amounts::new(),
            reserved: Amounts::new(),
            served: 0,
            children: 0,
            place: None,
            waiting: BTreeMap::new(),
        }
    }
}

/// `a`, `a/b`, `a/b/c` of `a/b/c`.
pub(super) fn prefixes(role: &str) -> impl Iterator<Item = &str> {
    let ends = role.match_indices('/').map(|(at, _)| at).chain([role.len()]);
    ends.map(|end| &role[..end])
}

/// A scalar in thousandths; nothing of what is no scalar.
pub(super) fn thousandths(resource: &Resource) -> Option<i64> {
    let is_scalar = resource.r#type() == ValueType::Scalar;
    let scalar = resource.scalar.as_ref().filter(|_| is_scalar)?;
    Some(to_thousandths(scalar.value))
}

/// A number in thousandths; `as` saturates and makes nothing of what is no number.
pub(super) fn to_thousandths(value: f64) -> i64 {
    (value * UNITS_PER_ONE).round() as i64
}

pub(super) fn from_thousandths(thousandths: i64) -> f64 {
    thousandths as f64 / UNITS_PER_ONE
}

pub(super) fn change(sums: &mut Amounts, amounts: &Amounts, sign: i64) {
    if sums.len() < amounts.len() {
        sums.resize(amounts.len(), 0);
    }
    for (sum, amount) in sums.iter_mut().zip(amounts) {
        *sum = sum.saturating_add(sign.saturating_mul(*amount));
    }
}
