//! Plans on the wire: `datafusion-proto` with our nodes, Spark's functions and Spark's sources.
//!
//! Functions travel by name if they are DataFusion's own; a name alone would be ambiguous between
//! DataFusion's, datafusion-spark's and ours, so the payload says whose it is.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{internal_datafusion_err, internal_err, not_impl_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use datafusion::physical_expr::equivalence::{AcrossPartitions, ConstExpr};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion_proto::physical_plan::from_proto::{
    parse_physical_sort_exprs, parse_protobuf_partitioning,
};
use datafusion_proto::physical_plan::to_proto::{
    serialize_partitioning, serialize_physical_sort_exprs,
};
use datafusion_proto::physical_plan::{
    AsExecutionPlan, DefaultPhysicalProtoConverter, PhysicalExtensionCodec,
    PhysicalPlanDecodeContext, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use prost::Message;

use crate::nodes::{ReadMode, Run, ShuffleReaderExec, ShuffleWriteExec};

mod trip;

pub use trip::check_every_plan;

/// Encodes a plan.
///
/// # Errors
/// If a node or expression of the plan cannot travel; the message names it.
pub fn encode_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<Bytes> {
    plan.apply(|node| {
        check_meaning(node)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    let node = protobuf::PhysicalPlanNode::try_from_physical_plan_with_converter(
        Arc::clone(plan),
        &StageCodec,
        &DefaultPhysicalProtoConverter {},
    )?;
    let bytes = node.encode_to_vec().into();
    trip::check(plan, &bytes)?;
    Ok(bytes)
}

/// Refuses what `datafusion-proto` would encode without its meaning.
fn check_meaning(node: &Arc<dyn ExecutionPlan>) -> Result<()> {
    let windows = if let Some(window) = node.downcast_ref::<WindowAggExec>() {
        window.window_expr()
    } else if let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() {
        window.window_expr()
    } else {
        return Ok(());
    };
    for window in windows {
        // None of these has an accessor, their text tells.
        let text = format!("{window:?}");
        let lost = ["is_reversed: true", "is_reversed: false, ignore_nulls: true", "filter: Some("];
        if lost.iter().any(|lost| text.contains(lost)) {
            return not_impl_err!(
                "window function {} in reverse, with IGNORE NULLS or with FILTER cannot be sent \
                 to executors",
                window.name()
            );
        }
    }
    Ok(())
}

/// Decodes a plan; `context` holds the shipped settings and the functions known by name.
///
/// # Errors
/// If the bytes are not a plan or name something unknown here.
pub fn decode_plan(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let node = protobuf::PhysicalPlanNode::try_decode(bytes)?;
    node.try_into_physical_plan_with_converter(
        context,
        &StageCodec,
        &DefaultPhysicalProtoConverter {},
    )
}

/// A `TaskContext` that knows DataFusion's functions by name, to decode plans with.
pub fn decode_context(
    config: datafusion::prelude::SessionConfig,
    runtime: Arc<datafusion::execution::runtime_env::RuntimeEnv>,
) -> TaskContext {
    let known = &*KNOWN;
    TaskContext::new(
        None,
        String::new(),
        config,
        known.scalar.clone(),
        known.higher_order.clone(),
        known.aggregate.clone(),
        known.window.clone(),
        runtime,
    )
}

/// DataFusion's functions by name and aliases.
struct Known {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    spark_scalar: HashMap<String, Arc<ScalarUDF>>,
    spark_aggregate: HashMap<String, Arc<AggregateUDF>>,
    spark_window: HashMap<String, Arc<WindowUDF>>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let context = datafusion::prelude::SessionContext::new().task_ctx();
    let mut window = context.window_functions().clone();
    for function in SessionStateDefaults::default_window_functions() {
        window.insert(function.name().to_owned(), function);
    }
    Known {
        scalar: context.scalar_functions().clone(),
        higher_order: context.higher_order_functions().clone(),
        aggregate: context.aggregate_functions().clone(),
        window,
        spark_scalar: datafusion_spark::all_default_scalar_functions()
            .into_iter()
            .map(|function| (function.name().to_owned(), function))
            .collect(),
        spark_aggregate: datafusion_spark::all_default_aggregate_functions()
            .into_iter()
            .map(|function| (function.name().to_owned(), function))
            .collect(),
        spark_window: datafusion_spark::all_default_window_functions()
            .into_iter()
            .map(|function| (function.name().to_owned(), function))
            .collect(),
    }
});

/// Whose function a payload is.
const OURS: u8 = 1;
const DATAFUSION_SPARK: u8 = 2;

fn same_type<T: ?Sized + Any>(a: &T, b: &T) -> bool {
    let (a, b): (TypeId, TypeId) = (Any::type_id(a), Any::type_id(b));
    a == b
}

macro_rules! function_codec {
    ($encode:ident, $decode:ident, $udf:ty, $known:ident, $spark:ident, $ours_encode:path, $ours_decode:path, $what:literal) => {
        fn $encode(&self, node: &$udf, buf: &mut Vec<u8>) -> Result<()> {
            if let Some(payload) = $ours_encode(node) {
                buf.push(OURS);
                buf.extend(payload);
                return Ok(());
            }
            let name = node.name();
            let is = |other: &Arc<$udf>| same_type(node.inner().as_ref(), other.inner().as_ref());
            if KNOWN.$known.get(name).is_some_and(is) {
                return Ok(());
            }
            if KNOWN.$spark.get(name).is_some_and(is) {
                buf.push(DATAFUSION_SPARK);
                return Ok(());
            }
            not_impl_err!(concat!($what, " {} cannot be sent to executors"), name)
        }

        fn $decode(&self, name: &str, buf: &[u8]) -> Result<Arc<$udf>> {
            let found = match buf.split_first() {
                Some((&OURS, payload)) => return $ours_decode(name, payload),
                Some((&DATAFUSION_SPARK, _)) => KNOWN.$spark.get(name),
                Some(_) => None,
                None => KNOWN.$known.get(name),
            };
            found.cloned().ok_or_else(|| {
                internal_datafusion_err!(concat!($what, " {} is not known here"), name)
            })
        }
    };
}

/// The codec of everything a stage may hold.
#[derive(Debug)]
pub struct StageCodec;

impl PhysicalExtensionCodec for StageCodec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let kind = if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
            node::Kind::Reader(encode_reader(reader, converter)?)
        } else if let Some(write) = node.downcast_ref::<ShuffleWriteExec>() {
            let routing = serialize_partitioning(write.routing(), self, converter)?;
            let order = match write.order() {
                Some(order) => encode_order(order, converter)?.exprs,
                None => Vec::new(),
            };
            node::Kind::Write(WriteNode {
                shuffle: write.shuffle(),
                routing: routing.encode_to_vec(),
                order,
            })
        } else if let Some(payload) = crate::plugins::encode_source(&node) {
            node::Kind::Source(payload)
        } else {
            return not_impl_err!("plan node {} cannot be sent to executors", node.name());
        };
        Node { kind: Some(kind) }.encode(buf).map_err(external)
    }

    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match Node::decode(buf).map_err(external)?.kind {
            Some(node::Kind::Reader(reader)) => decode_reader(&reader, context, converter),
            Some(node::Kind::Write(write)) => {
                let [input] = inputs else {
                    return internal_err!("a shuffle write has one input, not {}", inputs.len());
                };
                let schema = input.schema();
                if !write.order.is_empty() {
                    let order = decode_order(&write.order, &schema, context, converter)?;
                    let input = Arc::clone(input);
                    return Ok(Arc::new(ShuffleWriteExec::sorted(input, write.shuffle, order)));
                }
                let routing = decode_partitioning(&write.routing, &schema, context, converter)?;
                Ok(Arc::new(ShuffleWriteExec::new(Arc::clone(input), write.shuffle, routing)))
            }
            Some(node::Kind::Source(payload)) => {
                crate::plugins::decode_source(&payload, inputs, context)?
                    .ok_or_else(|| internal_datafusion_err!("a source node is not known here"))
            }
            None => internal_err!("an extension node without a kind"),
        }
    }

    function_codec!(
        try_encode_udf,
        try_decode_udf,
        ScalarUDF,
        scalar,
        spark_scalar,
        crate::plugins::encode_udf,
        crate::plugins::decode_udf,
        "scalar function"
    );
    function_codec!(
        try_encode_udaf,
        try_decode_udaf,
        AggregateUDF,
        aggregate,
        spark_aggregate,
        crate::plugins::encode_udaf,
        crate::plugins::decode_udaf,
        "aggregate function"
    );
    function_codec!(
        try_encode_udwf,
        try_decode_udwf,
        WindowUDF,
        window,
        spark_window,
        crate::plugins::encode_udwf,
        crate::plugins::decode_udwf,
        "window function"
    );

    fn try_encode_higher_order_function(
        &self,
        node: &HigherOrderUDF,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        buf.extend(crate::plugins::encode_higher_order(node).unwrap_or_default());
        Ok(())
    }

    fn try_decode_higher_order_function(
        &self,
        name: &str,
        buf: &[u8],
    ) -> Result<Arc<HigherOrderUDF>> {
        if !buf.is_empty() {
            return crate::plugins::decode_higher_order(name, buf);
        }
        KNOWN.higher_order.get(name).cloned().ok_or_else(|| {
            internal_datafusion_err!("higher order function {name} is not known here")
        })
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// An extension node on the wire.
#[derive(Clone, PartialEq, prost::Message)]
struct Node {
    #[prost(oneof = "node::Kind", tags = "1, 2, 3")]
    kind: Option<node::Kind>,
}

mod node {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Kind {
        #[prost(message, tag = "1")]
        Reader(super::ReaderNode),
        #[prost(message, tag = "2")]
        Write(super::WriteNode),
        #[prost(bytes, tag = "3")]
        Source(Vec<u8>),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteNode {
    #[prost(uint64, tag = "1")]
    shuffle: u64,
    #[prost(bytes, tag = "2")]
    routing: Vec<u8>,
    /// The sort keys of sorted output.
    #[prost(bytes, repeated, tag = "3")]
    order: Vec<Vec<u8>>,
}

/// A reader with all a plan above it may have relied on: aggregates and windows recompute from
/// their input's orderings and constants whether rows come in groups.
#[derive(Clone, PartialEq, prost::Message)]
struct ReaderNode {
    #[prost(uint64, tag = "1")]
    shuffle: u64,
    #[prost(uint32, tag = "2")]
    mode: u32,
    #[prost(bytes, tag = "3")]
    schema: Vec<u8>,
    #[prost(bytes, tag = "4")]
    partitioning: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    orderings: Vec<Ordering>,
    #[prost(message, repeated, tag = "6")]
    classes: Vec<Class>,
    #[prost(message, repeated, tag = "7")]
    constants: Vec<Constant>,
    /// The runs of reduce partitions read as one; empty if they are read one by one.
    #[prost(message, repeated, tag = "8")]
    runs: Vec<RunNode>,
    /// The sort keys and the bounds of ranges, if sorted output is merged.
    #[prost(bytes, repeated, tag = "9")]
    order: Vec<Vec<u8>>,
    #[prost(bytes = "bytes", repeated, tag = "10")]
    bounds: Vec<Bytes>,
    #[prost(bool, tag = "11")]
    in_memory: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RunNode {
    #[prost(uint32, tag = "1")]
    reduces_start: u32,
    #[prost(uint32, tag = "2")]
    reduces_end: u32,
    /// All map outputs, unless there is an end.
    #[prost(uint32, tag = "3")]
    maps_start: u32,
    #[prost(uint32, optional, tag = "4")]
    maps_end: Option<u32>,
}

impl RunNode {
    fn of(run: &Run) -> Self {
        Self {
            reduces_start: run.reduces.start,
            reduces_end: run.reduces.end,
            maps_start: run.maps.as_ref().map_or(0, |maps| maps.start),
            maps_end: run.maps.as_ref().map(|maps| maps.end),
        }
    }

    fn run(&self) -> Run {
        Run {
            reduces: self.reduces_start..self.reduces_end,
            maps: self.maps_end.map(|end| self.maps_start..end),
        }
    }
}

fn encode_order(
    order: &LexOrdering,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Ordering> {
    let exprs = serialize_physical_sort_exprs(order.iter().cloned(), &StageCodec, converter)?;
    Ok(Ordering { exprs: exprs.iter().map(Message::encode_to_vec).collect() })
}

fn decode_order(
    exprs: &[Vec<u8>],
    schema: &Schema,
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<LexOrdering> {
    let nodes = exprs
        .iter()
        .map(|bytes| protobuf::PhysicalSortExprNode::decode(bytes.as_slice()).map_err(external))
        .collect::<Result<Vec<_>>>()?;
    let decode = PhysicalPlanDecodeContext::new(context, &StageCodec);
    let exprs = parse_physical_sort_exprs(&nodes, &decode, schema, converter)?;
    LexOrdering::new(exprs).ok_or_else(|| internal_datafusion_err!("a sort without keys"))
}

#[derive(Clone, PartialEq, prost::Message)]
struct Ordering {
    #[prost(bytes, repeated, tag = "1")]
    exprs: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Class {
    #[prost(bytes, repeated, tag = "1")]
    exprs: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Constant {
    #[prost(bytes, tag = "1")]
    expr: Vec<u8>,
    #[prost(bool, tag = "2")]
    uniform: bool,
}

fn encode_reader(
    reader: &ShuffleReaderExec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<ReaderNode> {
    let expr = |expr: &Arc<dyn PhysicalExpr>| -> Result<Vec<u8>> {
        Ok(converter.physical_expr_to_proto(expr, &StageCodec)?.encode_to_vec())
    };
    let equivalences = reader.properties().equivalence_properties();
    let schema: protobuf::Schema = reader.schema().as_ref().try_into()?;
    let mut orderings = Vec::new();
    for ordering in equivalences.oeq_class().iter() {
        orderings.push(encode_order(ordering, converter)?);
    }
    let mut classes = Vec::new();
    for class in equivalences.eq_group().iter() {
        classes.push(Class { exprs: class.iter().map(expr).collect::<Result<_>>()? });
    }
    let mut constants = Vec::new();
    for constant in equivalences.constants() {
        constants.push(Constant {
            expr: expr(&constant.expr)?,
            uniform: matches!(constant.across_partitions, AcrossPartitions::Uniform(_)),
        });
    }
    let partitioning =
        serialize_partitioning(reader.properties().output_partitioning(), &StageCodec, converter)?;
    Ok(ReaderNode {
        shuffle: reader.shuffle(),
        mode: match reader.mode() {
            ReadMode::Reduce => 0,
            ReadMode::Sorted => 1,
            ReadMode::Broadcast => 2,
            ReadMode::Map => 3,
        },
        schema: schema.encode_to_vec(),
        partitioning: partitioning.encode_to_vec(),
        orderings,
        classes,
        constants,
        runs: reader.runs().iter().flat_map(|runs| runs.iter()).map(RunNode::of).collect(),
        order: match reader.ranges() {
            Some(ranges) => encode_order(&ranges.order, converter)?.exprs,
            None => Vec::new(),
        },
        bounds: reader.ranges().map_or_else(Vec::new, |ranges| ranges.bounds.to_vec()),
        in_memory: reader.in_memory(),
    })
}

fn decode_reader(
    node: &ReaderNode,
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = protobuf::Schema::decode(node.schema.as_slice()).map_err(external)?;
    let schema: SchemaRef = Arc::new(Schema::try_from(&schema)?);
    let decode = PhysicalPlanDecodeContext::new(context, &StageCodec);
    let expr = |bytes: &Vec<u8>| -> Result<Arc<dyn PhysicalExpr>> {
        let node = protobuf::PhysicalExprNode::decode(bytes.as_slice()).map_err(external)?;
        converter.proto_to_physical_expr(&node, &schema, &decode)
    };
    let mut equivalences = EquivalenceProperties::new(Arc::clone(&schema));
    for class in &node.classes {
        let exprs = class.exprs.iter().map(expr).collect::<Result<Vec<_>>>()?;
        for pair in exprs.windows(2) {
            equivalences.add_equal_conditions(Arc::clone(&pair[0]), Arc::clone(&pair[1]))?;
        }
    }
    let mut constants = Vec::new();
    for constant in &node.constants {
        let across = if constant.uniform {
            AcrossPartitions::Uniform(None)
        } else {
            AcrossPartitions::Heterogeneous
        };
        constants.push(ConstExpr::new(expr(&constant.expr)?, across));
    }
    equivalences.add_constants(constants)?;
    for ordering in &node.orderings {
        equivalences.add_ordering(decode_order(&ordering.exprs, &schema, context, converter)?);
    }
    let partitioning = decode_partitioning(&node.partitioning, &schema, context, converter)?;
    let mode = match node.mode {
        0 => ReadMode::Reduce,
        1 => {
            let order = decode_order(&node.order, &schema, context, converter)?;
            let reader = ShuffleReaderExec::sorted(node.shuffle, order, equivalences);
            return Ok(Arc::new(reader.with_bounds(node.bounds.clone().into())));
        }
        2 => ReadMode::Broadcast,
        3 => ReadMode::Map,
        other => return internal_err!("a shuffle is read in an unknown mode {other}"),
    };
    let reader = ShuffleReaderExec::new(node.shuffle, mode, equivalences, partitioning)
        .kept_in_memory(node.in_memory);
    if node.runs.is_empty() {
        return Ok(Arc::new(reader));
    }
    Ok(Arc::new(reader.with_runs(node.runs.iter().map(RunNode::run).collect())))
}

fn decode_partitioning(
    bytes: &[u8],
    schema: &Schema,
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Partitioning> {
    let node = protobuf::Partitioning::decode(bytes).map_err(external)?;
    let decode = PhysicalPlanDecodeContext::new(context, &StageCodec);
    parse_protobuf_partitioning(Some(&node), &decode, schema, converter)?
        .ok_or_else(|| internal_datafusion_err!("a partitioning without a method"))
}
