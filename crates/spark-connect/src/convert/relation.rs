//! Relations.

use std::collections::{BTreeMap, HashMap};

use spark_connect_proto as sc;
use spark_sql_parser::ParserOptions;
use spark_sql_parser::ast::{
    Aggregate, Cte, Expr, Grouping, Join, JoinKind, Literal, Pivot, Relation, RelationKind,
    SetOperation, SetOperator, Statement,
};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::{DataType, Schema};

use super::expression::{aliases, expression, expressions, identifier, sort_orders};
use super::types::schema_of;
use super::{literal, missing, unsupported};

/// What a conversion needs from its surroundings.
pub trait Lookup: Sync {
    /// The bytes of an uploaded artifact `cache/<hash>`.
    fn cached_artifact(&self, hash: &str) -> Result<Vec<u8>, SparkError>;

    /// The relation which a subquery expression names by its plan id.
    fn subquery(&self, plan_id: i64) -> Result<Relation, SparkError> {
        Err(missing(&format!("relation with plan id {plan_id}")))
    }

    /// How SQL text within a plan is read.
    fn parser_options(&self) -> ParserOptions {
        ParserOptions::default()
    }

    /// Takes note of what is to be observed of a relation.
    fn observe(&self, _observed: Observed) {}
}

/// What `observe` asks for: aggregates over the rows of a relation within a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The observation.
    pub name: String,
    /// The observing relation's plan id.
    pub plan_id: i64,
    /// The rows.
    pub input: Relation,
    /// The aggregates.
    pub metrics: Vec<Expr>,
}

/// References of a `WithRelations`, in front of the outer look-up.
struct WithReferences<'a> {
    outer: &'a dyn Lookup,
    references: HashMap<i64, &'a sc::Relation>,
}

impl Lookup for WithReferences<'_> {
    fn cached_artifact(&self, hash: &str) -> Result<Vec<u8>, SparkError> {
        self.outer.cached_artifact(hash)
    }

    fn subquery(&self, plan_id: i64) -> Result<Relation, SparkError> {
        match self.references.get(&plan_id) {
            Some(proto) => relation(proto, self),
            None => self.outer.subquery(plan_id),
        }
    }

    fn parser_options(&self) -> ParserOptions {
        self.outer.parser_options()
    }

    fn observe(&self, observed: Observed) {
        self.outer.observe(observed);
    }
}

/// The relation inside an optional box, required.
pub fn storage_relation(
    proto: Option<&sc::Relation>,
    lookup: &dyn Lookup,
) -> Result<Relation, SparkError> {
    relation(proto.ok_or_else(|| missing("relation"))?, lookup)
}

/// The plan language's relation for a Connect relation.
pub fn relation(proto: &sc::Relation, lookup: &dyn Lookup) -> Result<Relation, SparkError> {
    let plan_id = proto.common.as_ref().and_then(|common| common.plan_id);
    let kind = proto.rel_type.as_ref().ok_or_else(|| missing("relation type"))?;
    if let sc::relation::RelType::CollectMetrics(metrics) = kind {
        let input = *input(metrics.input.as_deref(), lookup)?;
        lookup.observe(Observed {
            name: metrics.name.clone(),
            plan_id: plan_id.unwrap_or_default(),
            input: input.clone(),
            metrics: expressions(&metrics.metrics, lookup)?,
        });
        return Ok(Relation { plan_id, kind: input.kind });
    }
    Ok(Relation { plan_id, kind: relation_kind(kind, lookup)? })
}

fn input(proto: Option<&sc::Relation>, lookup: &dyn Lookup) -> Result<Box<Relation>, SparkError> {
    Ok(Box::new(relation(proto.ok_or_else(|| missing("input relation"))?, lookup)?))
}

#[expect(clippy::too_many_lines, reason = "one arm per message of the protocol, each short")]
fn relation_kind(
    kind: &sc::relation::RelType,
    lookup: &dyn Lookup,
) -> Result<RelationKind, SparkError> {
    use sc::relation::RelType;
    Ok(match kind {
        RelType::Read(read) => read_relation(read)?,
        RelType::Project(project) => match project.input.as_deref() {
            Some(child) => RelationKind::Project {
                input: Box::new(relation(child, lookup)?),
                exprs: expressions(&project.expressions, lookup)?,
            },
            None => RelationKind::Project {
                input: RelationKind::OneRow.boxed(),
                exprs: expressions(&project.expressions, lookup)?,
            },
        },
        RelType::Filter(filter) => RelationKind::Filter {
            input: input(filter.input.as_deref(), lookup)?,
            condition: expression(
                filter.condition.as_ref().ok_or_else(|| missing("filter condition"))?,
                lookup,
            )?,
        },
        RelType::Join(join) => RelationKind::Join(Box::new(join_relation(join, lookup)?)),
        RelType::LateralJoin(join) => RelationKind::Join(Box::new(Join {
            left: *input(join.left.as_deref(), lookup)?,
            right: *input(join.right.as_deref(), lookup)?,
            kind: join_kind(join.join_type()),
            condition: optional(join.join_condition.as_ref(), lookup)?,
            using: Vec::new(),
            natural: false,
            lateral: true,
        })),
        RelType::SetOp(set) => RelationKind::SetOperation(Box::new(set_operation(set, lookup)?)),
        RelType::Sort(sort) => RelationKind::Sort {
            input: input(sort.input.as_deref(), lookup)?,
            order: sort_orders(&sort.order, lookup)?,
            global: sort.is_global.unwrap_or(true),
        },
        RelType::Limit(limit) => RelationKind::Limit {
            input: input(limit.input.as_deref(), lookup)?,
            limit: Expr::Literal(Literal::Integer(limit.limit)),
        },
        RelType::Offset(offset) => RelationKind::Offset {
            input: input(offset.input.as_deref(), lookup)?,
            offset: Expr::Literal(Literal::Integer(offset.offset)),
        },
        RelType::Tail(tail) => RelationKind::Tail {
            input: input(tail.input.as_deref(), lookup)?,
            limit: i64::from(tail.limit),
        },
        RelType::Aggregate(aggregate) => {
            RelationKind::Aggregate(Box::new(aggregate_relation(aggregate, lookup)?))
        }
        RelType::Sql(sql) => sql_relation(sql, lookup)?,
        RelType::WithRelations(with) => with_relations(with, lookup)?,
        RelType::LocalRelation(local) => RelationKind::LocalRelation {
            data: local.data.as_ref().map(|data| data.to_vec()),
            schema: local.schema.as_deref().map(schema_text).transpose()?,
        },
        RelType::CachedLocalRelation(cached) => cached_local(&cached.hash, lookup)?,
        RelType::ChunkedCachedLocalRelation(cached) => chunked_local(cached, lookup)?,
        RelType::CachedRemoteRelation(cached) => {
            RelationKind::CachedRemoteRelation { id: cached.relation_id.clone() }
        }
        RelType::Sample(sample) => RelationKind::Sample {
            input: input(sample.input.as_deref(), lookup)?,
            lower: sample.lower_bound,
            upper: sample.upper_bound,
            with_replacement: sample.with_replacement.unwrap_or(false),
            seed: sample.seed,
        },
        RelType::Deduplicate(dedup) => RelationKind::Deduplicate {
            input: input(dedup.input.as_deref(), lookup)?,
            columns: dedup.column_names.clone(),
            all_columns: dedup.all_columns_as_keys.unwrap_or(false),
        },
        RelType::Range(range) => RelationKind::Range {
            start: range.start.unwrap_or(0),
            end: range.end,
            step: range.step,
            num_partitions: range.num_partitions,
        },
        RelType::SubqueryAlias(alias) => RelationKind::SubqueryAlias {
            input: input(alias.input.as_deref(), lookup)?,
            alias: alias.alias.clone(),
            columns: Vec::new(),
        },
        RelType::Repartition(repartition) => RelationKind::Repartition {
            input: input(repartition.input.as_deref(), lookup)?,
            num_partitions: repartition.num_partitions,
            shuffle: repartition.shuffle.unwrap_or(true),
        },
        RelType::RepartitionByExpression(repartition) => RelationKind::RepartitionByExpression {
            input: input(repartition.input.as_deref(), lookup)?,
            exprs: expressions(&repartition.partition_exprs, lookup)?,
            num_partitions: repartition.num_partitions,
        },
        RelType::ToDf(to_df) => RelationKind::ToDf {
            input: input(to_df.input.as_deref(), lookup)?,
            names: to_df.column_names.clone(),
        },
        RelType::WithColumnsRenamed(renamed) => RelationKind::WithColumnsRenamed {
            input: input(renamed.input.as_deref(), lookup)?,
            renames: renames(renamed),
        },
        RelType::WithColumns(with) => RelationKind::WithColumns {
            input: input(with.input.as_deref(), lookup)?,
            columns: aliases(&with.aliases, lookup)?,
        },
        RelType::Drop(drop) => RelationKind::Drop {
            input: input(drop.input.as_deref(), lookup)?,
            columns: expressions(&drop.columns, lookup)?,
            names: drop.column_names.clone(),
        },
        RelType::ToSchema(to) => RelationKind::ToSchema {
            input: input(to.input.as_deref(), lookup)?,
            schema: schema_of(to.schema.as_ref().ok_or_else(|| missing("schema"))?)?,
        },
        RelType::Hint(hint) => RelationKind::Hint {
            input: input(hint.input.as_deref(), lookup)?,
            name: hint.name.clone(),
            parameters: expressions(&hint.parameters, lookup)?,
        },
        RelType::Unpivot(unpivot) => RelationKind::Unpivot {
            input: input(unpivot.input.as_deref(), lookup)?,
            ids: expressions(&unpivot.ids, lookup)?,
            values: match &unpivot.values {
                Some(values) => Some(expressions(&values.values, lookup)?),
                None => None,
            },
            variable_column: unpivot.variable_column_name.clone(),
            value_column: unpivot.value_column_name.clone(),
        },
        RelType::ShowString(show) => RelationKind::ShowString {
            input: input(show.input.as_deref(), lookup)?,
            num_rows: show.num_rows,
            truncate: show.truncate,
            vertical: show.vertical,
        },
        RelType::HtmlString(html) => RelationKind::HtmlString {
            input: input(html.input.as_deref(), lookup)?,
            num_rows: html.num_rows,
            truncate: html.truncate,
        },
        RelType::FillNa(fill) => RelationKind::FillNa {
            input: input(fill.input.as_deref(), lookup)?,
            columns: fill.cols.clone(),
            values: fill.values.iter().map(literal).collect::<Result<_, _>>()?,
        },
        RelType::DropNa(drop) => RelationKind::DropNa {
            input: input(drop.input.as_deref(), lookup)?,
            columns: drop.cols.clone(),
            min_non_nulls: drop.min_non_nulls,
        },
        RelType::Replace(replace) => RelationKind::Replace {
            input: input(replace.input.as_deref(), lookup)?,
            columns: replace.cols.clone(),
            replacements: replacements(&replace.replacements)?,
        },
        RelType::Summary(summary) => RelationKind::Summary {
            input: input(summary.input.as_deref(), lookup)?,
            statistics: summary.statistics.clone(),
        },
        RelType::Describe(describe) => RelationKind::Describe {
            input: input(describe.input.as_deref(), lookup)?,
            columns: describe.cols.clone(),
        },
        RelType::Crosstab(crosstab) => RelationKind::Crosstab {
            input: input(crosstab.input.as_deref(), lookup)?,
            left: crosstab.col1.clone(),
            right: crosstab.col2.clone(),
        },
        RelType::Cov(cov) => single_aggregate(
            *input(cov.input.as_deref(), lookup)?,
            "covar_samp",
            &cov.col1,
            &cov.col2,
            "cov",
        ),
        RelType::Corr(corr) => single_aggregate(
            *input(corr.input.as_deref(), lookup)?,
            "corr",
            &corr.col1,
            &corr.col2,
            "corr",
        ),
        RelType::UnresolvedTableValuedFunction(function) => RelationKind::TableFunction {
            name: vec![function.function_name.clone()],
            args: expressions(&function.arguments, lookup)?,
        },
        RelType::ApproxQuantile(quantile) => approx_quantile(quantile, lookup)?,
        RelType::SampleBy(sample) => sample_by(sample, lookup)?,
        RelType::WithWatermark(watermark) => {
            return Ok(input(watermark.input.as_deref(), lookup)?.kind);
        }
        other => return Err(unsupported(&format!("The relation {}", name_of(other)))),
    })
}

/// The message name of a relation, as its Debug form begins with it.
fn name_of(kind: &sc::relation::RelType) -> String {
    let text = format!("{kind:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

fn optional(
    proto: Option<&sc::Expression>,
    lookup: &dyn Lookup,
) -> Result<Option<Expr>, SparkError> {
    proto.map(|proto| expression(proto, lookup)).transpose()
}

/// `approxQuantile`: one row of one column, for each column an array of its quantiles.
fn approx_quantile(
    quantile: &sc::StatApproxQuantile,
    lookup: &dyn Lookup,
) -> Result<RelationKind, SparkError> {
    let double = |value: &f64| Expr::Literal(Literal::Double(*value));
    let probabilities = quantile.probabilities.iter().map(double).collect::<Vec<_>>();
    // Spark's sketch errs by a part of the rows, the function's accuracy is one over it.
    let accuracy = (1.0 / quantile.relative_error.clamp(1.0 / f64::from(i32::MAX), 1.0)) as i32;
    let of = |name: &String| {
        let value = Expr::call("double", vec![Expr::column(name)]);
        let number = Expr::call("isnan", vec![value.clone()]);
        let value =
            Expr::call("if", vec![number, Expr::Literal(Literal::Null(DataType::Double)), value]);
        let wanted = Expr::call("array", probabilities.clone());
        let accuracy = Expr::Literal(Literal::Integer(accuracy));
        let quantiles = Expr::call("percentile_approx", vec![value, wanted, accuracy]);
        // A column without numbers has no quantiles.
        Expr::call("coalesce", vec![quantiles, Expr::call("array", Vec::new())])
    };
    let all = Expr::call("array", quantile.cols.iter().map(of).collect());
    Ok(RelationKind::Aggregate(Box::new(Aggregate {
        input: *input(quantile.input.as_deref(), lookup)?,
        grouping: Grouping::Expressions(Vec::new()),
        aggregates: vec![all.alias("approx_quantile")],
        select_list: false,
        having: None,
        pivot: None,
    })))
}

/// `sampleBy`: of each stratum its fraction; what is no stratum is left out.
fn sample_by(sample: &sc::StatSampleBy, lookup: &dyn Lookup) -> Result<RelationKind, SparkError> {
    let column = sample.col.as_ref().ok_or_else(|| missing("column"))?;
    let branches = sample
        .fractions
        .iter()
        .map(|fraction| {
            let stratum = fraction.stratum.as_ref().ok_or_else(|| missing("stratum"))?;
            let wanted = Expr::Literal(Literal::Double(fraction.fraction));
            let is = vec![expression(column, lookup)?, Expr::Literal(literal(stratum)?)];
            Ok((Expr::call("<=>", is), wanted))
        })
        .collect::<Result<Vec<_>, SparkError>>()?;
    let none = Expr::Literal(Literal::Double(0.0));
    let fraction = if branches.is_empty() {
        none
    } else {
        Expr::Case { operand: None, branches, otherwise: Some(Box::new(none)) }
    };
    let seed = Expr::Literal(Literal::Long(sample.seed.unwrap_or_default()));
    let condition = Expr::call("<", vec![Expr::call("rand", vec![seed]), fraction]);
    Ok(RelationKind::Filter { input: input(sample.input.as_deref(), lookup)?, condition })
}

fn single_aggregate(
    input: Relation,
    function: &str,
    left: &str,
    right: &str,
    name: &str,
) -> RelationKind {
    let call = Expr::call(function, vec![Expr::column(left), Expr::column(right)]);
    RelationKind::Aggregate(Box::new(Aggregate {
        input,
        grouping: Grouping::Expressions(Vec::new()),
        aggregates: vec![call.alias(name)],
        select_list: false,
        having: None,
        pivot: None,
    }))
}

fn read_relation(read: &sc::Read) -> Result<RelationKind, SparkError> {
    use sc::read::ReadType;
    if read.is_streaming {
        return Err(unsupported("Structured streaming"));
    }
    match read.read_type.as_ref().ok_or_else(|| missing("read type"))? {
        ReadType::NamedTable(table) => Ok(RelationKind::NamedTable {
            name: identifier(&table.unparsed_identifier)?,
            options: options(&table.options),
        }),
        ReadType::DataSource(source) => Ok(RelationKind::DataSource {
            format: source.format.clone(),
            schema: source
                .schema
                .as_deref()
                .filter(|s| !s.is_empty())
                .map(schema_text)
                .transpose()?,
            options: options(&source.options),
            paths: source.paths.clone(),
        }),
    }
}

pub(crate) fn options(options: &HashMap<String, String>) -> BTreeMap<String, String> {
    options.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A schema as DDL or as Spark's JSON.
pub(crate) fn schema_text(text: &str) -> Result<Schema, SparkError> {
    if text.trim_start().starts_with('{') {
        Schema::from_json(text)
    } else {
        spark_sql_parser::parse_schema(text)
    }
}

fn join_kind(kind: sc::join::JoinType) -> JoinKind {
    use sc::join::JoinType;
    match kind {
        JoinType::Unspecified | JoinType::Inner => JoinKind::Inner,
        JoinType::FullOuter => JoinKind::FullOuter,
        JoinType::LeftOuter => JoinKind::LeftOuter,
        JoinType::RightOuter => JoinKind::RightOuter,
        JoinType::LeftAnti => JoinKind::LeftAnti,
        JoinType::LeftSemi => JoinKind::LeftSemi,
        JoinType::Cross => JoinKind::Cross,
    }
}

fn join_relation(join: &sc::Join, lookup: &dyn Lookup) -> Result<Join, SparkError> {
    Ok(Join {
        left: *input(join.left.as_deref(), lookup)?,
        right: *input(join.right.as_deref(), lookup)?,
        kind: join_kind(join.join_type()),
        condition: optional(join.join_condition.as_ref(), lookup)?,
        using: join.using_columns.clone(),
        natural: false,
        lateral: false,
    })
}

fn set_operation(set: &sc::SetOperation, lookup: &dyn Lookup) -> Result<SetOperation, SparkError> {
    use sc::set_operation::SetOpType;
    Ok(SetOperation {
        left: *input(set.left_input.as_deref(), lookup)?,
        right: *input(set.right_input.as_deref(), lookup)?,
        operator: match set.set_op_type() {
            SetOpType::Union => SetOperator::Union,
            SetOpType::Intersect => SetOperator::Intersect,
            SetOpType::Except => SetOperator::Except,
            SetOpType::Unspecified => return Err(missing("set operation")),
        },
        all: set.is_all.unwrap_or(false),
        by_name: set.by_name.unwrap_or(false),
        allow_missing_columns: set.allow_missing_columns.unwrap_or(false),
    })
}

fn aggregate_relation(
    aggregate: &sc::Aggregate,
    lookup: &dyn Lookup,
) -> Result<Aggregate, SparkError> {
    use sc::aggregate::GroupType;
    let grouping = expressions(&aggregate.grouping_expressions, lookup)?;
    let grouping = match aggregate.group_type() {
        GroupType::Unspecified | GroupType::Groupby | GroupType::Pivot => {
            Grouping::Expressions(grouping)
        }
        GroupType::Rollup => Grouping::Rollup(grouping),
        GroupType::Cube => Grouping::Cube(grouping),
        GroupType::GroupingSets => Grouping::Sets {
            expressions: grouping,
            sets: aggregate
                .grouping_sets
                .iter()
                .map(|set| expressions(&set.grouping_set, lookup))
                .collect::<Result<_, _>>()?,
        },
    };
    let pivot = match &aggregate.pivot {
        Some(pivot) => Some(Pivot {
            column: expression(pivot.col.as_ref().ok_or_else(|| missing("pivot column"))?, lookup)?,
            values: pivot
                .values
                .iter()
                .map(|value| Ok((Expr::Literal(literal(value)?), None)))
                .collect::<Result<_, SparkError>>()?,
        }),
        None => None,
    };
    Ok(Aggregate {
        input: *input(aggregate.input.as_deref(), lookup)?,
        grouping,
        aggregates: expressions(&aggregate.aggregate_expressions, lookup)?,
        select_list: false,
        having: None,
        pivot,
    })
}

/// SQL text inside a plan; its parameters are put in place of their markers.
pub(crate) fn sql_statement(sql: &sc::Sql, lookup: &dyn Lookup) -> Result<Statement, SparkError> {
    let mut options = lookup.parser_options();
    for (name, proto) in &sql.named_arguments {
        options.named_parameters.insert(name.clone(), expression(proto, lookup)?);
    }
    options.positional_parameters.extend(expressions(&sql.pos_arguments, lookup)?);
    #[expect(deprecated, reason = "clients before 4.0 send literals only")]
    let (old_named, old_positional) = (&sql.args, &sql.pos_args);
    for (name, value) in old_named {
        options.named_parameters.insert(name.clone(), Expr::Literal(literal(value)?));
    }
    for value in old_positional {
        options.positional_parameters.push(Expr::Literal(literal(value)?));
    }
    spark_sql_parser::parse_statement(&sql.query, &options)
}

fn sql_relation(sql: &sc::Sql, lookup: &dyn Lookup) -> Result<RelationKind, SparkError> {
    match sql_statement(sql, lookup)? {
        Statement::Query(relation) => Ok(relation.kind),
        Statement::Command(_) => Err(unsupported("A command inside a relation")),
    }
}

/// `sql("… {df} …", df=df)` and DataFrame subqueries: aliased references are tables by name, others are found by plan id.
fn with_relations(
    with: &sc::WithRelations,
    lookup: &dyn Lookup,
) -> Result<RelationKind, SparkError> {
    let mut references = HashMap::new();
    let mut named = Vec::new();
    for reference in &with.references {
        if let Some(plan_id) = reference.common.as_ref().and_then(|common| common.plan_id) {
            references.insert(plan_id, reference);
        }
        if let Some(sc::relation::RelType::SubqueryAlias(alias)) = &reference.rel_type {
            named.push(alias);
        }
    }
    let inner = WithReferences { outer: lookup, references };
    let mut ctes = Vec::with_capacity(named.len());
    for alias in named {
        ctes.push(Cte {
            name: alias.alias.clone(),
            columns: Vec::new(),
            relation: storage_relation(alias.input.as_deref(), &inner)?,
        });
    }
    let root = storage_relation(with.root.as_deref(), &inner)?;
    if ctes.is_empty() {
        return Ok(root.kind);
    }
    Ok(RelationKind::With { ctes, recursive: false, input: Box::new(root) })
}

fn renames(renamed: &sc::WithColumnsRenamed) -> Vec<(String, String)> {
    let mut renames: Vec<_> = renamed
        .renames
        .iter()
        .map(|rename| (rename.col_name.clone(), rename.new_col_name.clone()))
        .collect();
    let old = &renamed.rename_columns_map;
    renames.extend(old.iter().map(|(from, to)| (from.clone(), to.clone())));
    renames
}

fn replacements(
    protos: &[sc::na_replace::Replacement],
) -> Result<Vec<(Literal, Literal)>, SparkError> {
    protos
        .iter()
        .map(|replacement| {
            let old = replacement.old_value.as_ref().ok_or_else(|| missing("old value"))?;
            let new = replacement.new_value.as_ref().ok_or_else(|| missing("new value"))?;
            Ok((literal(old)?, literal(new)?))
        })
        .collect()
}

/// A `LocalRelation` message uploaded as one artifact.
fn cached_local(hash: &str, lookup: &dyn Lookup) -> Result<RelationKind, SparkError> {
    use prost::Message as _;
    let bytes = lookup.cached_artifact(hash)?;
    let local = sc::LocalRelation::decode(bytes.as_slice())
        .map_err(|error| missing(&format!("readable local relation {hash} ({error})")))?;
    Ok(RelationKind::LocalRelation {
        data: local.data.map(|data| data.to_vec()),
        schema: local.schema.as_deref().map(schema_text).transpose()?,
    })
}

/// Several Arrow streams of one schema, each an artifact, and perhaps a schema artifact.
fn chunked_local(
    cached: &sc::ChunkedCachedLocalRelation,
    lookup: &dyn Lookup,
) -> Result<RelationKind, SparkError> {
    let schema = match &cached.schema_hash {
        Some(hash) => {
            let bytes = lookup.cached_artifact(hash)?;
            let text = String::from_utf8(bytes).map_err(|_| missing("readable schema artifact"))?;
            Some(schema_text(&text)?)
        }
        None => None,
    };
    let mut chunks = Vec::with_capacity(cached.data_hashes.len());
    for hash in &cached.data_hashes {
        chunks.push(lookup.cached_artifact(hash)?);
    }
    let data = crate::arrow_ipc::concatenate_streams(&chunks)?;
    Ok(RelationKind::LocalRelation { data, schema })
}
