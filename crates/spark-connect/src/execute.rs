//! What an operation does: resolve, run, and answer in Spark's order of responses.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use spark_connect_proto as sc;
use spark_connect_proto::execute_plan_response::ResponseType;
use spark_exec::RunOptions;
use spark_plan::cache::{Kept, StorageLevel};
use spark_plan::{ResolvedPlan, Resolver, plan_physical};
use spark_sql_parser::ast::{ExplainMode, Relation, Statement};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::Schema;

use crate::application::{Application, OperationRunner};
use crate::arrow_ipc::{ResultEncoder, local_data};
use crate::convert::{self, Observed, missing, schema_to_proto, storage_relation, unsupported};
use crate::errors::from_datafusion;
use crate::observe::Observing;
use crate::operation::Operation;
use crate::session::ConnectSession;

type Result<T> = std::result::Result<T, SparkError>;

/// Writes an operation's responses.
#[derive(Debug)]
pub(crate) struct Responder {
    pub(crate) session: Arc<ConnectSession>,
    operation: Arc<Operation>,
}

impl Responder {
    pub(crate) fn new(session: Arc<ConnectSession>, operation: Arc<Operation>) -> Self {
        Self { session, operation }
    }

    /// The last response, without which the client would reattach for ever.
    pub(crate) async fn complete(&self) {
        self.send(ResponseType::ResultComplete(sc::execute_plan_response::ResultComplete {})).await;
    }

    async fn send(&self, kind: ResponseType) -> bool {
        self.push(sc::ExecutePlanResponse { response_type: Some(kind), ..Default::default() }).await
    }

    async fn schema(&self, schema: &Schema) -> bool {
        let schema = Some(schema_to_proto(schema));
        self.push(sc::ExecutePlanResponse { schema, ..Default::default() }).await
    }

    async fn push(&self, mut response: sc::ExecutePlanResponse) -> bool {
        response.session_id.clone_from(&self.session.id);
        response.server_side_session_id.clone_from(&self.session.server_id);
        response.operation_id.clone_from(&self.operation.id);
        response.response_id = uuid::Uuid::new_v4().to_string();
        self.operation.push(response).await
    }

    /// Tells what was observed of the plan that has just run.
    pub(crate) async fn observed(
        &self,
        runner: &OperationRunner,
        observed: Vec<Observed>,
    ) -> Result<()> {
        for observed in observed {
            let metrics = crate::observe::metrics(&self.session, runner, observed).await?;
            let observed_metrics = vec![metrics];
            self.push(sc::ExecutePlanResponse { observed_metrics, ..Default::default() }).await;
        }
        Ok(())
    }

    fn runner(&self, application: Arc<dyn Application>) -> OperationRunner {
        OperationRunner {
            application,
            options: RunOptions {
                job_group: self.session.plan.get("spark.jobGroup.id"),
                tags: self.operation.tags.clone(),
                description: self.session.plan.get("spark.job.description"),
                pool: self.session.plan.get("spark.scheduler.pool"),
                conf: spark_exec::runner::ADAPTIVE_PROPERTIES
                    .iter()
                    .filter_map(|key| Some(((*key).to_owned(), self.session.plan.get(key)?)))
                    .collect(),
            },
            cancel: self.operation.cancel.clone(),
        }
    }
}

/// Executes a plan and sends its responses, all but the last.
pub(crate) async fn execute_plan(
    responder: &Responder,
    application: Arc<dyn Application>,
    plan: sc::Plan,
) -> Result<()> {
    use sc::plan::OpType;
    let runner = responder.runner(application);
    match plan.op_type.ok_or_else(|| missing("plan operation"))? {
        OpType::Root(root) => {
            let observing = Observing::new(&responder.session);
            let relation = match &root.rel_type {
                Some(sc::relation::RelType::Catalog(catalog)) => {
                    crate::catalog::answer(&responder.session, &runner, catalog).await?
                }
                _ => convert::relation(&root, &observing)?,
            };
            send_rows(responder, &runner, &relation).await?;
            responder.observed(&runner, observing.found()).await
        }
        OpType::Command(command) => execute_command(responder, &runner, command).await,
        OpType::CompressedOperation(_) => Err(unsupported("A compressed plan")),
    }
}

/// A client's relation; catalog calls are answered at once and become local data.
async fn read_relation(
    session: &ConnectSession,
    runner: &OperationRunner,
    proto: &sc::Relation,
) -> Result<Relation> {
    match &proto.rel_type {
        Some(sc::relation::RelType::Catalog(catalog)) => {
            crate::catalog::answer(session, runner, catalog).await
        }
        _ => convert::relation(proto, session),
    }
}

async fn resolve(
    session: &ConnectSession,
    runner: &OperationRunner,
    relation: &Relation,
) -> Result<ResolvedPlan> {
    Resolver::new(&session.plan).with_runner(runner).resolve(relation).await
}

/// Runs a relation and sends schema and batches.
async fn send_rows(
    responder: &Responder,
    runner: &OperationRunner,
    relation: &Relation,
) -> Result<()> {
    let session = &responder.session;
    let resolved = resolve(session, runner, relation).await?;
    let schema = resolved.schema();
    if !responder.schema(&schema).await {
        return Ok(());
    }
    let mode = runner.mode_of(&session.plan, &resolved);
    let physical = plan_physical(&session.plan, &resolved, mode).await?;
    let mut query = runner.start(physical, &session.plan.state(mode), mode).await?;
    let encoder = ResultEncoder::new(&schema, &session.plan.time_zone());
    let mut sender = BatchSender { responder, encoder, offset: 0 };
    match &resolved.render {
        Some(render) => {
            let mut batches = Vec::new();
            while let Some(batch) = query.stream.next().await {
                batches.push(batch.map_err(|error| from_datafusion(&error))?);
            }
            let rendered = render.finish(&batches)?;
            sender.send(&rendered).await?;
        }
        None => {
            while let Some(batch) = query.stream.next().await {
                let batch = batch.map_err(|error| from_datafusion(&error))?;
                if !sender.send(&batch).await? {
                    return Ok(());
                }
            }
        }
    }
    sender.finish().await
}

struct BatchSender<'a> {
    responder: &'a Responder,
    encoder: ResultEncoder,
    offset: i64,
}

impl BatchSender<'_> {
    async fn send(&mut self, batch: &RecordBatch) -> Result<bool> {
        let encoded = self.encoder.encode(batch).map_err(|error| from_datafusion(&error.into()))?;
        for (rows, data) in encoded {
            if !self.message(rows, data).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn message(&mut self, row_count: i64, data: Vec<u8>) -> bool {
        let start_offset = Some(self.offset);
        self.offset += row_count;
        self.responder
            .send(ResponseType::ArrowBatch(sc::execute_plan_response::ArrowBatch {
                row_count,
                data: data.into(),
                start_offset,
                chunk_index: None,
                num_chunks_in_batch: None,
            }))
            .await
    }

    async fn finish(mut self) -> Result<()> {
        if self.offset == 0 {
            let data = self.encoder.empty().map_err(|error| from_datafusion(&error.into()))?;
            self.message(0, data).await;
        }
        Ok(())
    }
}

async fn execute_command(
    responder: &Responder,
    runner: &OperationRunner,
    command: sc::Command,
) -> Result<()> {
    use sc::command::CommandType;
    let session = &responder.session;
    match command.command_type.ok_or_else(|| missing("command"))? {
        CommandType::SqlCommand(sql) => sql_command(responder, runner, sql).await,
        CommandType::CreateDataframeView(view) => {
            let input = storage_relation(view.input.as_ref(), session.as_ref())?;
            let resolved = resolve(session, runner, &input).await?;
            session.plan.create_temp_view(&view.name, resolved, None, view.replace, view.is_global)
        }
        CommandType::WriteOperation(write) => {
            let observing = Observing::new(session);
            crate::write::write_operation(session, runner, write, &observing).await?;
            responder.observed(runner, observing.found()).await
        }
        CommandType::WriteOperationV2(write) => {
            let observing = Observing::new(session);
            crate::write::write_operation_v2(session, runner, write, &observing).await?;
            responder.observed(runner, observing.found()).await
        }
        CommandType::CheckpointCommand(checkpoint) => {
            let input = storage_relation(checkpoint.relation.as_ref(), session.as_ref())?;
            let resolved = resolve(session, runner, &input).await?;
            let level = checkpoint
                .storage_level
                .as_ref()
                .map_or(StorageLevel::MEMORY_AND_DISK, storage_level);
            let kept = Kept::new(resolved, level);
            if checkpoint.eager {
                kept.compute(&session.plan, runner).await?;
            }
            let relation_id = uuid::Uuid::new_v4().to_string();
            session.plan.remember(&relation_id, kept.resolved()?);
            let relation = Some(sc::CachedRemoteRelation { relation_id });
            responder
                .send(ResponseType::CheckpointCommandResult(sc::CheckpointCommandResult {
                    relation,
                }))
                .await;
            Ok(())
        }
        CommandType::RemoveCachedRemoteRelationCommand(remove) => {
            if let Some(relation) = remove.relation {
                session.plan.forget(&relation.relation_id);
            }
            Ok(())
        }
        CommandType::GetResourcesCommand(_) => {
            let result = sc::GetResourcesCommandResult::default();
            responder.send(ResponseType::GetResourcesCommandResult(result)).await;
            Ok(())
        }
        other => {
            let text = format!("{other:?}");
            let name = text.split(['(', ' ', '{']).next().unwrap_or_default();
            Err(unsupported(&format!("The command {name}")))
        }
    }
}

/// `spark.sql(…)`: queries are analysed at once and come back as the relation to run later; commands act at once and
/// come back as their rows.
async fn sql_command(
    responder: &Responder,
    runner: &OperationRunner,
    command: sc::SqlCommand,
) -> Result<()> {
    let session = &responder.session;
    let input = match command.input {
        Some(input) => input,
        None => old_sql_relation(&command),
    };
    let statement = match &input.rel_type {
        Some(sc::relation::RelType::Sql(sql)) => convert::sql_statement(sql, session.as_ref())?,
        _ => Statement::Query(convert::relation(&input, session.as_ref())?),
    };
    let relation = match statement {
        Statement::Query(relation) => {
            resolve(session, runner, &relation).await?;
            input
        }
        Statement::Command(command) => {
            let output = spark_plan::execute_command(&session.plan, &command, runner).await?;
            let data = local_data(&output.schema, &output.batches)
                .map_err(|error| from_datafusion(&error.into()))?;
            sc::Relation {
                common: input.common.clone(),
                rel_type: Some(sc::relation::RelType::LocalRelation(sc::LocalRelation {
                    data: Some(data.into()),
                    schema: Some(output.schema.json()),
                })),
            }
        }
    };
    responder
        .send(ResponseType::SqlCommandResult(sc::execute_plan_response::SqlCommandResult {
            relation: Some(relation),
        }))
        .await;
    Ok(())
}

#[expect(deprecated, reason = "clients before 4.0 send the text in the command itself")]
fn old_sql_relation(command: &sc::SqlCommand) -> sc::Relation {
    sc::Relation {
        common: None,
        rel_type: Some(sc::relation::RelType::Sql(sc::Sql {
            query: command.sql.clone(),
            args: command.args.clone(),
            pos_args: command.pos_args.clone(),
            named_arguments: command.named_arguments.clone(),
            pos_arguments: command.pos_arguments.clone(),
        })),
    }
}

/// Answers an AnalyzePlan request.
pub(crate) async fn analyze(
    session: &Arc<ConnectSession>,
    application: Arc<dyn Application>,
    analyze: sc::analyze_plan_request::Analyze,
) -> Result<sc::analyze_plan_response::Result> {
    use sc::analyze_plan_request::Analyze;
    use sc::analyze_plan_response as response;
    use sc::analyze_plan_response::Result as Answer;
    let operation = Operation::new(String::new(), Vec::new(), false);
    let responder = Responder::new(Arc::clone(session), operation);
    let runner = responder.runner(application);
    let plan = async |plan: Option<sc::Plan>| -> Result<ResolvedPlan> {
        let relation = plan_relation(session, &runner, plan).await?;
        resolve(session, &runner, &relation).await
    };
    Ok(match analyze {
        Analyze::Schema(schema) => {
            let resolved = plan(schema.plan).await?;
            Answer::Schema(response::Schema { schema: Some(schema_to_proto(&resolved.schema())) })
        }
        Analyze::Explain(explain) => {
            use sc::analyze_plan_request::explain::ExplainMode as Wire;
            let mode = match explain.explain_mode() {
                Wire::Unspecified | Wire::Simple => ExplainMode::Simple,
                Wire::Extended => ExplainMode::Extended,
                Wire::Codegen => ExplainMode::Codegen,
                Wire::Cost => ExplainMode::Cost,
                Wire::Formatted => ExplainMode::Formatted,
            };
            let resolved = plan(explain.plan).await?;
            let way = runner.mode_of(&session.plan, &resolved);
            let explain_string = spark_plan::explain(&session.plan, &resolved, way, mode).await?;
            Answer::Explain(response::Explain { explain_string })
        }
        Analyze::TreeString(tree) => {
            let resolved = plan(tree.plan).await?;
            let level = tree.level.and_then(|level| usize::try_from(level).ok());
            let tree_string = spark_plan::tree_string(&resolved.schema(), level);
            Answer::TreeString(response::TreeString { tree_string })
        }
        Analyze::IsLocal(local) => {
            let relation = plan_relation(session, &runner, local.plan).await?;
            let is_local =
                matches!(relation.kind, spark_sql_parser::ast::RelationKind::LocalRelation { .. });
            Answer::IsLocal(response::IsLocal { is_local })
        }
        Analyze::IsStreaming(streaming) => {
            plan(streaming.plan).await?;
            Answer::IsStreaming(response::IsStreaming { is_streaming: false })
        }
        Analyze::InputFiles(files) => {
            let resolved = plan(files.plan).await?;
            Answer::InputFiles(response::InputFiles {
                files: {
                    let _ = resolved;
                    Vec::new()
                },
            })
        }
        Analyze::SparkVersion(_) => Answer::SparkVersion(response::SparkVersion {
            version: spark_conf::SPARK_VERSION.to_owned(),
        }),
        Analyze::DdlParse(ddl) => {
            // As `DataType.fromDDL`: a table schema, or one type.
            let text = &ddl.ddl_string;
            let parsed = match spark_sql_parser::parse_schema(text) {
                Ok(schema) => schema_to_proto(&schema),
                Err(error) => {
                    let data_type = spark_sql_parser::parse_data_type(text).map_err(|_| error)?;
                    convert::data_type_to_proto(&data_type)
                }
            };
            Answer::DdlParse(response::DdlParse { parsed: Some(parsed) })
        }
        Analyze::JsonToDdl(json) => {
            let schema = convert::schema_text(&json.json_string)?;
            Answer::JsonToDdl(response::JsonToDdl { ddl_string: schema.ddl() })
        }
        Analyze::SameSemantics(same) => {
            let (left, right) = (same.target_plan, same.other_plan);
            let result = plan_relation(session, &runner, left).await?
                == plan_relation(session, &runner, right).await?;
            Answer::SameSemantics(response::SameSemantics { result })
        }
        Analyze::SemanticHash(hash) => {
            use std::hash::{Hash, Hasher};
            let relation = plan_relation(session, &runner, hash.plan).await?;
            let mut hasher = std::hash::DefaultHasher::new();
            format!("{relation:?}").hash(&mut hasher);
            let result = (hasher.finish() & 0x7fff_ffff) as i32;
            Answer::SemanticHash(response::SemanticHash { result })
        }
        Analyze::Persist(persist) => {
            let relation = storage_relation(persist.relation.as_ref(), session.as_ref())?;
            let level =
                persist.storage_level.as_ref().map_or(StorageLevel::MEMORY_AND_DISK, storage_level);
            session.plan.shared.cache.persist(&session.plan, &runner, &relation, level).await?;
            Answer::Persist(response::Persist {})
        }
        Analyze::Unpersist(unpersist) => {
            let relation = storage_relation(unpersist.relation.as_ref(), session.as_ref())?;
            session.plan.shared.cache.unpersist(&session.plan, &relation);
            Answer::Unpersist(response::Unpersist {})
        }
        Analyze::GetStorageLevel(get) => {
            let relation = storage_relation(get.relation.as_ref(), session.as_ref())?;
            let kept = session.plan.shared.cache.find(&session.plan, &relation);
            let level = kept.map_or(StorageLevel::NONE, |kept| kept.level());
            Answer::GetStorageLevel(response::GetStorageLevel {
                storage_level: Some(sc::StorageLevel {
                    use_disk: level.use_disk,
                    use_memory: level.use_memory,
                    use_off_heap: level.use_off_heap,
                    deserialized: level.deserialized,
                    replication: level.replication,
                }),
            })
        }
    })
}

pub(crate) fn storage_level(level: &sc::StorageLevel) -> StorageLevel {
    StorageLevel {
        use_disk: level.use_disk,
        use_memory: level.use_memory,
        use_off_heap: level.use_off_heap,
        deserialized: level.deserialized,
        replication: level.replication,
    }
}

async fn plan_relation(
    session: &ConnectSession,
    runner: &OperationRunner,
    plan: Option<sc::Plan>,
) -> Result<Relation> {
    use sc::plan::OpType;
    match plan.and_then(|plan| plan.op_type).ok_or_else(|| missing("plan"))? {
        OpType::Root(root) => read_relation(session, runner, &root).await,
        OpType::Command(_) => Err(SparkError::new(
            ErrorKind::IllegalArgument,
            "INVALID_PLAN_INPUT",
            "56K00",
            "A command cannot be analysed: it has no rows.",
        )),
        OpType::CompressedOperation(_) => Err(unsupported("A compressed plan")),
    }
}
