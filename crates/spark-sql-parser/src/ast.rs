//! The plan language both front ends produce: SQL text (this crate) and Spark Connect relations (`spark-connect`).
//!
//! It is *unresolved*: names are as the user wrote them, functions are names, types are Spark's. `spark-plan` resolves
//! it once, with Spark's analyzer rules, into a DataFusion plan. Shapes follow Spark Connect's `relations.proto` and
//! `expressions.proto`; where SQL needs more (HAVING, lateral views, CTEs, subqueries in place) the node is ours.

use std::collections::BTreeMap;

use crate::types::{DataType, Schema};

/// A relation together with the Connect plan id that DataFrame column references may name.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    pub plan_id: Option<i64>,
    pub kind: RelationKind,
}

impl From<RelationKind> for Relation {
    fn from(kind: RelationKind) -> Self {
        Self { plan_id: None, kind }
    }
}

impl RelationKind {
    /// Boxes the relation, without a plan id, to stand as an input.
    #[must_use]
    pub fn boxed(self) -> Box<Relation> {
        Box::new(self.into())
    }
}

/// Every relational operator of the plan language.
#[derive(Debug, Clone, PartialEq)]
pub enum RelationKind {
    /// One row without columns: `SELECT 1` without FROM.
    OneRow,
    /// A table or view by name.
    NamedTable {
        name: Vec<String>,
        options: BTreeMap<String, String>,
    },
    /// `spark.read.format(...).load(...)`, and SQL's `` parquet.`/path` ``.
    DataSource {
        format: Option<String>,
        schema: Option<Schema>,
        options: BTreeMap<String, String>,
        paths: Vec<String>,
    },
    /// Rows sent by the client: one Arrow IPC stream and the schema Spark should read it with.
    LocalRelation {
        data: Option<Vec<u8>>,
        schema: Option<Schema>,
    },
    /// A relation kept by the server under an id (`checkpoint`, `sql()` results).
    CachedRemoteRelation {
        id: String,
    },
    Range {
        start: i64,
        end: i64,
        step: i64,
        num_partitions: Option<i32>,
    },
    /// `VALUES (...), (...)`; columns are named col1, col2, ….
    Values {
        rows: Vec<Vec<Expr>>,
    },
    /// A table-valued function in FROM: `range(10)`, `explode(...)`.
    TableFunction {
        name: Vec<String>,
        args: Vec<Expr>,
    },
    Project {
        input: Box<Relation>,
        exprs: Vec<Expr>,
    },
    Filter {
        input: Box<Relation>,
        condition: Expr,
    },
    Join(Box<Join>),
    SetOperation(Box<SetOperation>),
    /// `global: false` is SORT BY / sortWithinPartitions.
    Sort {
        input: Box<Relation>,
        order: Vec<SortOrder>,
        global: bool,
    },
    Limit {
        input: Box<Relation>,
        limit: Expr,
    },
    Offset {
        input: Box<Relation>,
        offset: Expr,
    },
    Tail {
        input: Box<Relation>,
        limit: i64,
    },
    Aggregate(Box<Aggregate>),
    /// QUALIFY: a filter after window functions; `condition` may hold window functions and name select aliases.
    Qualify {
        input: Box<Relation>,
        condition: Expr,
    },
    /// LATERAL VIEW [OUTER] generator(...) table AS columns.
    LateralView {
        input: Box<Relation>,
        generator: Expr,
        outer: bool,
        table_alias: Option<String>,
        column_aliases: Vec<String>,
    },
    SubqueryAlias {
        input: Box<Relation>,
        alias: String,
        columns: Vec<String>,
    },
    /// WITH name AS (...), …; a later one sees the earlier ones.
    With {
        ctes: Vec<Cte>,
        recursive: bool,
        input: Box<Relation>,
    },
    /// DISTINCT / dropDuplicates. Empty `columns` with `all_columns` compares whole rows.
    Deduplicate {
        input: Box<Relation>,
        columns: Vec<String>,
        all_columns: bool,
    },
    /// Adds or replaces columns; each expression is an `Expr::Alias` with one name.
    WithColumns {
        input: Box<Relation>,
        columns: Vec<Expr>,
    },
    WithColumnsRenamed {
        input: Box<Relation>,
        renames: Vec<(String, String)>,
    },
    ToDf {
        input: Box<Relation>,
        names: Vec<String>,
    },
    Drop {
        input: Box<Relation>,
        columns: Vec<Expr>,
        names: Vec<String>,
    },
    ToSchema {
        input: Box<Relation>,
        schema: Schema,
    },
    Sample {
        input: Box<Relation>,
        lower: f64,
        upper: f64,
        with_replacement: bool,
        seed: Option<i64>,
    },
    /// `shuffle: false` is `coalesce(n)`.
    Repartition {
        input: Box<Relation>,
        num_partitions: i32,
        shuffle: bool,
    },
    RepartitionByExpression {
        input: Box<Relation>,
        exprs: Vec<Expr>,
        num_partitions: Option<i32>,
    },
    Hint {
        input: Box<Relation>,
        name: String,
        parameters: Vec<Expr>,
    },
    Unpivot {
        input: Box<Relation>,
        ids: Vec<Expr>,
        values: Option<Vec<Expr>>,
        variable_column: String,
        value_column: String,
    },
    /// Renders the first rows as `DataFrame.show` prints them; one row, column `show_string`.
    ShowString {
        input: Box<Relation>,
        num_rows: i32,
        truncate: i32,
        vertical: bool,
    },
    /// As `ShowString`, as an HTML table; column `html_string`.
    HtmlString {
        input: Box<Relation>,
        num_rows: i32,
        truncate: i32,
    },
    FillNa {
        input: Box<Relation>,
        columns: Vec<String>,
        values: Vec<Literal>,
    },
    DropNa {
        input: Box<Relation>,
        columns: Vec<String>,
        min_non_nulls: Option<i32>,
    },
    Replace {
        input: Box<Relation>,
        columns: Vec<String>,
        replacements: Vec<(Literal, Literal)>,
    },
    /// `df.describe(cols)`: count, mean, stddev, min, max.
    Describe {
        input: Box<Relation>,
        columns: Vec<String>,
    },
    /// `df.summary(statistics)`.
    Summary {
        input: Box<Relation>,
        statistics: Vec<String>,
    },
    Crosstab {
        input: Box<Relation>,
        left: String,
        right: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    pub name: String,
    pub columns: Vec<String>,
    pub relation: Relation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Cross,
    LeftOuter,
    RightOuter,
    FullOuter,
    LeftSemi,
    LeftAnti,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub left: Relation,
    pub right: Relation,
    pub kind: JoinKind,
    pub condition: Option<Expr>,
    /// USING columns; each appears once in the output, coalesced for outer joins as Spark does.
    pub using: Vec<String>,
    pub natural: bool,
    /// The right side may refer to columns of the left one.
    pub lateral: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperator {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SetOperation {
    pub left: Relation,
    pub right: Relation,
    pub operator: SetOperator,
    pub all: bool,
    pub by_name: bool,
    pub allow_missing_columns: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    pub input: Relation,
    pub grouping: Grouping,
    /// With `select_list` the output is exactly these expressions (SQL's SELECT … GROUP BY, which may repeat
    /// grouping expressions); otherwise grouping expressions first, then these (`DataFrame.groupBy().agg()`).
    pub aggregates: Vec<Expr>,
    pub select_list: bool,
    pub having: Option<Expr>,
    pub pivot: Option<Pivot>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Grouping {
    /// Plain GROUP BY; empty = one group. SQL integers are ordinals of the select list.
    Expressions(Vec<Expr>),
    /// GROUP BY ALL. Together with a pivot (SQL's PIVOT clause): by every input column that neither the aggregates
    /// nor the pivot column name.
    All,
    Rollup(Vec<Expr>),
    Cube(Vec<Expr>),
    /// GROUPING SETS; `expressions` are all grouping expressions in order of first appearance.
    Sets {
        expressions: Vec<Expr>,
        sets: Vec<Vec<Expr>>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pivot {
    pub column: Expr,
    /// Empty: the distinct values are computed first. SQL may give each an alias.
    pub values: Vec<(Expr, Option<String>)>,
}

/// An unresolved expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Literal(Literal),
    /// A column: name parts, already split at dots and unquoted.
    Attribute {
        name: Vec<String>,
        plan_id: Option<i64>,
    },
    /// `*`, `t.*`, with EXCEPT (…) columns.
    Star {
        target: Vec<String>,
        plan_id: Option<i64>,
        except: Vec<Vec<String>>,
    },
    /// `df.colRegex`.
    Regex {
        pattern: String,
        plan_id: Option<i64>,
    },
    Function(Function),
    NamedArgument {
        key: String,
        value: Box<Self>,
    },
    /// Several names for generators.
    Alias {
        expr: Box<Self>,
        names: Vec<String>,
        metadata: Option<String>,
    },
    Cast {
        expr: Box<Self>,
        to: DataType,
        mode: CastMode,
    },
    Case {
        operand: Option<Box<Self>>,
        branches: Vec<(Self, Self)>,
        otherwise: Option<Box<Self>>,
    },
    InList {
        expr: Box<Self>,
        list: Vec<Self>,
        negated: bool,
    },
    InSubquery {
        exprs: Vec<Self>,
        query: Box<Relation>,
        negated: bool,
    },
    Exists {
        query: Box<Relation>,
        negated: bool,
    },
    ScalarSubquery(Box<Relation>),
    Window(Box<Window>),
    Lambda {
        body: Box<Self>,
        parameters: Vec<String>,
    },
    LambdaVariable {
        name: Vec<String>,
    },
    /// `child[extraction]` and `child.field`.
    ExtractValue {
        child: Box<Self>,
        extraction: Box<Self>,
    },
    /// `withField` (value is Some) and `dropFields` (value is None).
    UpdateField {
        child: Box<Self>,
        field: String,
        value: Option<Box<Self>>,
    },
    /// A sort order met where an expression is expected (Connect's `sort_order`).
    SortOrder(Box<SortOrder>),
    /// `:name` or `?` (by position, from 0) of a parameterised query.
    Parameter(Parameter),
    PythonUdf(Box<PythonUdf>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    Named(String),
    Positional(usize),
}

/// A function call. Operators are functions under Spark's names: `+ - * / % div = == <=> != < <= > >= and or not`,
/// `&  | ^ ~ || << >> >>>`, `-` and `+` of one argument too, `like rlike ilike isnull isnotnull between …`; `x IS TRUE` is `x <=> true`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Function {
    pub name: Vec<String>,
    pub args: Vec<Expr>,
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Box<Expr>>,
    /// `IGNORE NULLS` / `RESPECT NULLS` when written.
    pub ignore_nulls: Option<bool>,
    /// `WITHIN GROUP (ORDER BY …)`.
    pub within_group: Vec<SortOrder>,
}

impl Expr {
    /// A plain call of a built-in function.
    #[must_use]
    pub fn call(name: &str, args: Vec<Self>) -> Self {
        Self::Function(Function { name: vec![name.to_owned()], args, ..Function::default() })
    }

    /// A column by one name.
    #[must_use]
    pub fn column(name: &str) -> Self {
        Self::Attribute { name: vec![name.to_owned()], plan_id: None }
    }

    #[must_use]
    pub fn alias(self, name: &str) -> Self {
        Self::Alias { expr: Box::new(self), names: vec![name.to_owned()], metadata: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastMode {
    /// As `spark.sql.ansi.enabled` says.
    Session,
    Ansi,
    Try,
    Legacy,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SortOrder {
    pub expr: Expr,
    pub ascending: bool,
    /// `None`: Spark's default, nulls first when ascending and last when descending.
    pub nulls_first: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub function: Expr,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<SortOrder>,
    pub frame: Option<WindowFrame>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WindowFrame {
    pub rows: bool,
    pub lower: FrameBound,
    pub upper: FrameBound,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    UnboundedFollowing,
    CurrentRow,
    /// An offset relative to the current row; negative is preceding.
    Offset(Expr),
}

/// A Python function sent by the client (`CommonInlineUserDefinedFunction`).
#[derive(Debug, Clone, PartialEq)]
pub struct PythonUdf {
    pub name: String,
    pub command: Vec<u8>,
    pub eval_type: i32,
    pub python_version: String,
    pub return_type: DataType,
    pub deterministic: bool,
    pub args: Vec<Expr>,
}

/// A literal in Spark's types. Dates are days and timestamps microseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null(DataType),
    Boolean(bool),
    Byte(i8),
    Short(i16),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    /// Unscaled value with its type, as `1.50` is decimal(3,2) with value 150.
    Decimal {
        value: i128,
        precision: u8,
        scale: i8,
    },
    String(String),
    Binary(Vec<u8>),
    Date(i32),
    /// Instant; SQL's `TIMESTAMP '…'` without a zone is left to the resolver as a cast, which knows the session's zone.
    Timestamp(i64),
    TimestampNtz(i64),
    CalendarInterval {
        months: i32,
        days: i32,
        microseconds: i64,
    },
    YearMonthInterval(i32),
    DayTimeInterval(i64),
    Array {
        element_type: DataType,
        values: Vec<Self>,
    },
    Map {
        key_type: DataType,
        value_type: DataType,
        entries: Vec<(Self, Self)>,
    },
    Struct {
        fields: Vec<(String, Self)>,
    },
}

/// What one SQL statement asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Query(Relation),
    Command(Command),
}

/// Statements that act at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    CreateView(CreateView),
    /// CREATE TEMPORARY VIEW name USING format OPTIONS (…).
    CreateViewUsing {
        name: Vec<String>,
        replace: bool,
        global: bool,
        source: Relation,
    },
    DropView {
        name: Vec<String>,
        if_exists: bool,
    },
    CreateTable(Box<CreateTable>),
    DropTable {
        name: Vec<String>,
        if_exists: bool,
        purge: bool,
    },
    Insert(Box<Insert>),
    InsertOverwriteDirectory {
        path: String,
        format: String,
        options: BTreeMap<String, String>,
        query: Relation,
    },
    /// SET; SET k; SET k=v. `None` key lists all.
    Set {
        key: Option<String>,
        value: Option<String>,
    },
    Reset {
        key: Option<String>,
    },
    SetTimeZone(String),
    Explain {
        mode: ExplainMode,
        statement: Box<Statement>,
    },
    /// SET CATALOG name.
    SetCatalog(String),
    DescribeDatabase {
        name: Vec<String>,
        extended: bool,
    },
    ShowCreateTable {
        table: Vec<String>,
    },
    ShowTableProperties {
        table: Vec<String>,
        key: Option<String>,
    },
    ShowPartitions {
        table: Vec<String>,
    },
    ShowCurrentNamespace,
    /// ALTER TABLE / ALTER VIEW … RENAME TO.
    RenameTable {
        from: Vec<String>,
        to: Vec<String>,
        view: bool,
    },
    RefreshPath(String),
    /// DESCRIBE TABLE.
    DescribeTable {
        name: Vec<String>,
        extended: bool,
    },
    DescribeQuery(Relation),
    DescribeFunction {
        name: Vec<String>,
        extended: bool,
    },
    ShowTables {
        database: Option<Vec<String>>,
        pattern: Option<String>,
    },
    ShowViews {
        database: Option<Vec<String>>,
        pattern: Option<String>,
    },
    ShowDatabases {
        pattern: Option<String>,
    },
    ShowFunctions {
        pattern: Option<String>,
    },
    ShowColumns {
        table: Vec<String>,
    },
    ShowCatalogs,
    UseDatabase(Vec<String>),
    CreateDatabase {
        name: Vec<String>,
        if_not_exists: bool,
    },
    DropDatabase {
        name: Vec<String>,
        if_exists: bool,
        cascade: bool,
    },
    CacheTable {
        name: Vec<String>,
        lazy: bool,
        /// `storageLevel` and whatever else OPTIONS names.
        options: BTreeMap<String, String>,
        query: Option<Relation>,
    },
    UncacheTable {
        name: Vec<String>,
        if_exists: bool,
    },
    ClearCache,
    RefreshTable {
        name: Vec<String>,
    },
    TruncateTable {
        name: Vec<String>,
    },
    Analyze {
        name: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    pub name: Vec<String>,
    pub columns: Vec<String>,
    pub temporary: bool,
    pub global: bool,
    pub replace: bool,
    pub if_not_exists: bool,
    pub query: Relation,
    /// The text of the query, for SHOW CREATE and error messages.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: Vec<String>,
    pub schema: Option<Schema>,
    pub format: Option<String>,
    pub options: BTreeMap<String, String>,
    pub partition_by: Vec<String>,
    pub location: Option<String>,
    pub comment: Option<String>,
    pub external: bool,
    pub if_not_exists: bool,
    pub replace: bool,
    pub query: Option<Relation>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: Vec<String>,
    pub columns: Vec<String>,
    /// PARTITION (p = v, q).
    pub partition: Vec<(String, Option<Expr>)>,
    pub overwrite: bool,
    pub by_name: bool,
    pub query: Relation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainMode {
    Simple,
    Extended,
    Codegen,
    Cost,
    Formatted,
}
