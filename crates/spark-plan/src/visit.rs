//! Walks over the plan language: inputs and expressions of a relation, children of an expression.

use spark_sql_parser::ast::{Expr, FrameBound, Grouping, Relation, RelationKind};

/// The relations a relation reads from, without those inside expressions.
pub(crate) fn inputs(relation: &Relation) -> Vec<&Relation> {
    use RelationKind as K;
    match &relation.kind {
        K::OneRow
        | K::NamedTable { .. }
        | K::DataSource { .. }
        | K::LocalRelation { .. }
        | K::CachedRemoteRelation { .. }
        | K::Range { .. }
        | K::Values { .. }
        | K::TableFunction { .. } => Vec::new(),
        K::Project { input, .. }
        | K::Filter { input, .. }
        | K::Qualify { input, .. }
        | K::Sort { input, .. }
        | K::Limit { input, .. }
        | K::Offset { input, .. }
        | K::Tail { input, .. }
        | K::LateralView { input, .. }
        | K::SubqueryAlias { input, .. }
        | K::Deduplicate { input, .. }
        | K::WithColumns { input, .. }
        | K::WithColumnsRenamed { input, .. }
        | K::ToDf { input, .. }
        | K::Drop { input, .. }
        | K::ToSchema { input, .. }
        | K::Sample { input, .. }
        | K::Repartition { input, .. }
        | K::RepartitionByExpression { input, .. }
        | K::Hint { input, .. }
        | K::Unpivot { input, .. }
        | K::ShowString { input, .. }
        | K::HtmlString { input, .. }
        | K::FillNa { input, .. }
        | K::DropNa { input, .. }
        | K::Replace { input, .. }
        | K::Describe { input, .. }
        | K::Summary { input, .. }
        | K::Crosstab { input, .. } => vec![input],
        K::Join(join) => vec![&join.left, &join.right],
        K::SetOperation(operation) => vec![&operation.left, &operation.right],
        K::Aggregate(aggregate) => vec![&aggregate.input],
        K::With { ctes, input, .. } => {
            let mut all: Vec<&Relation> = ctes.iter().map(|c| &c.relation).collect();
            all.push(input);
            all
        }
    }
}

/// The expressions of a relation itself.
pub(crate) fn expressions(relation: &Relation) -> Vec<&Expr> {
    use RelationKind as K;
    match &relation.kind {
        K::Values { rows } => rows.iter().flatten().collect(),
        K::TableFunction { args, .. } => args.iter().collect(),
        K::Project { exprs, .. } => exprs.iter().collect(),
        K::Filter { condition, .. } | K::Qualify { condition, .. } => vec![condition],
        K::Join(join) => join.condition.iter().collect(),
        K::Sort { order, .. } => order.iter().map(|o| &o.expr).collect(),
        K::Limit { limit, .. } => vec![limit],
        K::Offset { offset, .. } => vec![offset],
        K::LateralView { generator, .. } => vec![generator],
        K::WithColumns { columns, .. } | K::Drop { columns, .. } => columns.iter().collect(),
        K::RepartitionByExpression { exprs, .. } => exprs.iter().collect(),
        K::Unpivot { ids, values, .. } => ids.iter().chain(values.iter().flatten()).collect(),
        K::Aggregate(aggregate) => {
            let mut all: Vec<&Expr> = aggregate.aggregates.iter().collect();
            match &aggregate.grouping {
                Grouping::All => {}
                Grouping::Expressions(e) | Grouping::Rollup(e) | Grouping::Cube(e) => all.extend(e),
                Grouping::Sets { expressions, sets } => {
                    all.extend(expressions);
                    all.extend(sets.iter().flatten());
                }
            }
            all.extend(&aggregate.having);
            if let Some(pivot) = &aggregate.pivot {
                all.push(&pivot.column);
                all.extend(pivot.values.iter().map(|v| &v.0));
            }
            all
        }
        _ => Vec::new(),
    }
}

/// The direct children of an expression; subqueries are not expressions.
pub(crate) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Literal(_)
        | Expr::Attribute { .. }
        | Expr::Star { .. }
        | Expr::Regex { .. }
        | Expr::LambdaVariable { .. }
        | Expr::Exists { .. }
        | Expr::ScalarSubquery(_)
        | Expr::Parameter(_) => Vec::new(),
        Expr::Function(f) => {
            let mut all: Vec<&Expr> = f.args.iter().collect();
            all.extend(f.filter.as_deref());
            all.extend(f.within_group.iter().map(|o| &o.expr));
            all
        }
        Expr::NamedArgument { value, .. } => vec![value],
        Expr::Alias { expr, .. } | Expr::Cast { expr, .. } => vec![expr],
        Expr::Case { operand, branches, otherwise } => {
            let mut all: Vec<&Expr> = operand.iter().map(AsRef::as_ref).collect();
            for (when, then) in branches {
                all.push(when);
                all.push(then);
            }
            all.extend(otherwise.as_deref());
            all
        }
        Expr::InList { expr, list, .. } => {
            let mut all: Vec<&Expr> = vec![expr];
            all.extend(list);
            all
        }
        Expr::InSubquery { exprs, .. } => exprs.iter().collect(),
        Expr::Window(window) => {
            let mut all = vec![&window.function];
            all.extend(&window.partition_by);
            all.extend(window.order_by.iter().map(|o| &o.expr));
            if let Some(frame) = &window.frame {
                for bound in [&frame.lower, &frame.upper] {
                    if let FrameBound::Offset(offset) = bound {
                        all.push(offset);
                    }
                }
            }
            all
        }
        Expr::Lambda { body, .. } => vec![body],
        Expr::ExtractValue { child, extraction } => vec![child, extraction],
        Expr::UpdateField { child, value, .. } => {
            let mut all: Vec<&Expr> = vec![child];
            all.extend(value.as_deref());
            all
        }
        Expr::SortOrder(order) => vec![&order.expr],
        Expr::PythonUdf(udf) => udf.args.iter().collect(),
    }
}

/// The relation of a subquery expression.
pub(crate) fn subquery(expr: &Expr) -> Option<&Relation> {
    match expr {
        Expr::Exists { query, .. } | Expr::InSubquery { query, .. } => Some(query),
        Expr::ScalarSubquery(query) => Some(query),
        _ => None,
    }
}

/// Whether `test` holds for the expression or one below it (not inside subqueries).
pub(crate) fn any(expr: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    test(expr) || children(expr).into_iter().any(|c| any(c, test))
}

/// Calls `f` for every relation below and including this one, those in subqueries too.
pub(crate) fn each_relation<'a>(relation: &'a Relation, f: &mut dyn FnMut(&'a Relation)) {
    stacker::maybe_grow(128 * 1024, 2 * 1024 * 1024, || {
        f(relation);
        for input in inputs(relation) {
            each_relation(input, f);
        }
        for expr in expressions(relation) {
            each_subquery(expr, f);
        }
    });
}

fn each_subquery<'a>(expr: &'a Expr, f: &mut dyn FnMut(&'a Relation)) {
    if let Some(relation) = subquery(expr) {
        each_relation(relation, f);
    }
    for child in children(expr) {
        each_subquery(child, f);
    }
}
