//! The twelve RPCs.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use spark_connect_proto as sc;
use spark_sql_parser::error::{ErrorKind, SparkError};
use tonic::{Request, Response, Status, Streaming};

use crate::application::Application;
use crate::convert::missing;
use crate::errors::{invalid_cursor, invalid_handle};
use crate::execute::{self, Responder};
use crate::generated::spark_connect_service_server::SparkConnectService;
use crate::operation::{CursorError, Next, Operation, OperationState, Reader, StreamLimits};
use crate::session::{ConnectSession, Sessions};

/// `spark.connect.execute.reattachable.senderMaxStreamDuration`'s default.
const STREAM_DURATION: Duration = Duration::from_secs(120);
/// `spark.connect.execute.reattachable.senderMaxStreamSize`'s default.
const STREAM_BYTES: usize = 1 << 30;
/// `spark.connect.execute.reattachable.observerRetryBufferSize`'s default.
const RETRY_BYTES: usize = 10 << 20;

/// The service.
#[derive(Debug)]
pub struct ConnectService {
    application: Arc<dyn Application>,
    sessions: Arc<Sessions>,
}

/// A request within a session: the user, the session's id and the server-side id that the client saw last.
trait InSession {
    fn session(&self) -> (Option<&sc::UserContext>, &str, Option<&str>);
}

macro_rules! in_session {
    ($($request:ident)*) => {$(
        impl InSession for sc::$request {
            fn session(&self) -> (Option<&sc::UserContext>, &str, Option<&str>) {
                let observed = self.client_observed_server_side_session_id.as_deref();
                (self.user_context.as_ref(), &self.session_id, observed)
            }
        }
    )*};
}

in_session! {
    ExecutePlanRequest AnalyzePlanRequest ConfigRequest AddArtifactsRequest ArtifactStatusesRequest InterruptRequest
    ReattachExecuteRequest ReleaseExecuteRequest FetchErrorDetailsRequest CloneSessionRequest GetStatusRequest
}

type ResponseStream = Pin<Box<dyn Stream<Item = Result<sc::ExecutePlanResponse, Status>> + Send>>;

impl ConnectService {
    pub(crate) fn new(application: Arc<dyn Application>, sessions: Arc<Sessions>) -> Self {
        Self { application, sessions }
    }

    /// The session that a request names, made at its first request.
    fn session(&self, request: &impl InSession) -> Result<Arc<ConnectSession>, Status> {
        let (user, session_id, observed) = request.session();
        self.sessions.get(user, session_id, observed)
    }

    fn limits(session: &ConnectSession) -> StreamLimits {
        let duration = session
            .plan
            .get("spark.connect.execute.reattachable.senderMaxStreamDuration")
            .and_then(|text| spark_conf::parse_duration(&text, spark_conf::TimeUnit::Millisecond));
        let bytes = |name| {
            session
                .plan
                .get(name)
                .and_then(|text| spark_conf::parse_bytes(&text, spark_conf::ByteUnit::Byte))
                .and_then(|bytes| usize::try_from(bytes).ok())
        };
        StreamLimits {
            duration: duration.filter(|d| !d.is_zero()).unwrap_or(STREAM_DURATION),
            bytes: bytes("spark.connect.execute.reattachable.senderMaxStreamSize")
                .filter(|bytes| *bytes > 0)
                .unwrap_or(STREAM_BYTES),
            retry_bytes: bytes("spark.connect.execute.reattachable.observerRetryBufferSize")
                .unwrap_or(RETRY_BYTES),
        }
    }

    fn attach(
        session: &Arc<ConnectSession>,
        operation: &Arc<Operation>,
        after: Option<&str>,
    ) -> Result<Response<ResponseStream>, Status> {
        let reader =
            operation.attach(after, Self::limits(session)).map_err(|error| match error {
                CursorError::PositionNotFound => invalid_cursor(
                    "POSITION_NOT_FOUND",
                    &format!("The cursor position id {} is not found.", after.unwrap_or_default()),
                ),
                CursorError::NotReattachable => {
                    invalid_cursor("NOT_REATTACHABLE", "The cursor is not reattachable.")
                }
            })?;
        Ok(Response::new(Box::pin(responses(Arc::clone(session), reader))))
    }
}

/// The stream of one reader. A stream which is not reattachable releases its operation when it ends or is dropped.
fn responses(
    session: Arc<ConnectSession>,
    reader: Reader,
) -> impl Stream<Item = Result<sc::ExecutePlanResponse, Status>> + Send {
    struct Release(Arc<ConnectSession>, Option<String>);
    impl Drop for Release {
        fn drop(&mut self) {
            if let Some(id) = &self.1 {
                self.0.release_operation(id);
            }
        }
    }
    let release = Release(session, reader.release_at_end());
    futures::stream::unfold(Some((reader, release)), |state| async move {
        let (mut reader, release) = state?;
        match reader.next().await {
            Next::Response(response) => Some((Ok(*response), Some((reader, release)))),
            Next::End(Ok(())) | Next::Detach => None,
            Next::End(Err(status)) => Some((Err(status), None)),
            Next::Displaced => Some((
                Err(invalid_cursor(
                    "DISCONNECTED",
                    "The cursor has been disconnected by the server.",
                )),
                None,
            )),
        }
    })
}

#[tonic::async_trait]
impl SparkConnectService for ConnectService {
    type ExecutePlanStream = ResponseStream;
    type ReattachExecuteStream = ResponseStream;

    async fn execute_plan(
        &self,
        request: Request<sc::ExecutePlanRequest>,
    ) -> Result<Response<Self::ExecutePlanStream>, Status> {
        let request = request.into_inner();
        let session = self.session(&request)?;
        let id = request.operation_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        if uuid::Uuid::parse_str(&id).is_err() {
            return Err(invalid_handle(
                "FORMAT",
                &id,
                "Handle must be an UUID string of the format '00112233-4455-6677-8899-aabbccddeeff'.",
            ));
        }
        let reattachable = request.request_options.iter().any(|option| {
            use sc::execute_plan_request::request_option::RequestOption;
            matches!(&option.request_option, Some(RequestOption::ReattachOptions(options)) if options.reattachable)
        });
        let plan = request.plan.ok_or_else(|| session.errors.status(missing("plan")))?;
        let operation = Operation::new(id, request.tags, reattachable);
        session.add_operation(Arc::clone(&operation))?;
        let response = Self::attach(&session, &operation, None)?;
        let application = Arc::clone(&self.application);
        tokio::spawn(async move {
            let responder = Responder::new(Arc::clone(&session), Arc::clone(&operation));
            let work = execute::execute_plan(&responder, application, plan);
            let outcome = tokio::select! {
                outcome = std::panic::AssertUnwindSafe(work).catch_unwind() => outcome,
                () = operation.cancel.cancelled() => return,
            };
            match outcome {
                Ok(Ok(())) => {
                    responder.complete().await;
                    operation.finish(Ok(()));
                }
                Ok(Err(error)) => operation.finish(Err(session.errors.status(error))),
                Err(panic) => {
                    operation.finish(Err(session.errors.status(panicked(panic.as_ref()))));
                }
            }
        });
        Ok(response)
    }

    async fn analyze_plan(
        &self,
        request: Request<sc::AnalyzePlanRequest>,
    ) -> Result<Response<sc::AnalyzePlanResponse>, Status> {
        let request = request.into_inner();
        let session = self.session(&request)?;
        let analyze = request.analyze.ok_or_else(|| session.errors.status(missing("analysis")))?;
        let work = execute::analyze(&session, Arc::clone(&self.application), analyze);
        let result = match std::panic::AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => result.map_err(|error| session.errors.status(error))?,
            Err(panic) => return Err(session.errors.status(panicked(panic.as_ref()))),
        };
        Ok(Response::new(sc::AnalyzePlanResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            result: Some(result),
        }))
    }

    async fn config(
        &self,
        request: Request<sc::ConfigRequest>,
    ) -> Result<Response<sc::ConfigResponse>, Status> {
        let request = request.into_inner();
        let session = self.session(&request)?;
        let operation = request
            .operation
            .and_then(|operation| operation.op_type)
            .ok_or_else(|| session.errors.status(missing("config operation")))?;
        let (pairs, warnings) = config(&session, self.application.as_ref(), operation)
            .map_err(|error| session.errors.status(error))?;
        Ok(Response::new(sc::ConfigResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            pairs,
            warnings,
        }))
    }

    async fn add_artifacts(
        &self,
        request: Request<Streaming<sc::AddArtifactsRequest>>,
    ) -> Result<Response<sc::AddArtifactsResponse>, Status> {
        let mut stream = request.into_inner();
        let mut upload = Upload::default();
        let mut session = None;
        while let Some(message) = stream.next().await {
            let message = message?;
            let session = match &session {
                Some(session) => Arc::clone(session),
                None => {
                    let found = self.session(&message)?;
                    session = Some(Arc::clone(&found));
                    found
                }
            };
            if let Some(payload) = message.payload {
                upload.take(&session, payload).map_err(|error| session.errors.status(error))?;
            }
        }
        let session = session.ok_or_else(|| Status::invalid_argument("no artifact was sent"))?;
        upload.finish().map_err(|error| session.errors.status(error))?;
        Ok(Response::new(sc::AddArtifactsResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            artifacts: upload.summaries,
        }))
    }

    async fn artifact_status(
        &self,
        request: Request<sc::ArtifactStatusesRequest>,
    ) -> Result<Response<sc::ArtifactStatusesResponse>, Status> {
        let request = request.into_inner();
        let session = self.session(&request)?;
        let statuses = request.names.into_iter().map(|name| {
            let exists = session.has_artifact(&name);
            (name, sc::artifact_statuses_response::ArtifactStatus { exists })
        });
        Ok(Response::new(sc::ArtifactStatusesResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            statuses: statuses.collect(),
        }))
    }

    async fn interrupt(
        &self,
        request: Request<sc::InterruptRequest>,
    ) -> Result<Response<sc::InterruptResponse>, Status> {
        use sc::interrupt_request::{Interrupt, InterruptType};
        let request = request.into_inner();
        let session = self.session(&request)?;
        let interrupted_ids = match (request.interrupt_type(), &request.interrupt) {
            (InterruptType::All, _) => session.interrupt(|_| true),
            (InterruptType::Tag, Some(Interrupt::OperationTag(tag))) => {
                session.interrupt(|operation| operation.tags.contains(tag))
            }
            (InterruptType::OperationId, Some(Interrupt::OperationId(id))) => {
                session.interrupt(|operation| operation.id == *id)
            }
            _ => return Err(session.errors.status(missing("tag or operation id to interrupt"))),
        };
        Ok(Response::new(sc::InterruptResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            interrupted_ids,
        }))
    }

    async fn reattach_execute(
        &self,
        request: Request<sc::ReattachExecuteRequest>,
    ) -> Result<Response<Self::ReattachExecuteStream>, Status> {
        let request = request.into_inner();
        let session = self.session(&request)?;
        let operation = session.operation(&request.operation_id)?;
        if !operation.reattachable {
            return Err(invalid_cursor("NOT_REATTACHABLE", "The cursor is not reattachable."));
        }
        Self::attach(&session, &operation, request.last_response_id.as_deref())
    }

    async fn release_execute(
        &self,
        request: Request<sc::ReleaseExecuteRequest>,
    ) -> Result<Response<sc::ReleaseExecuteResponse>, Status> {
        use sc::release_execute_request::Release;
        let request = request.into_inner();
        let session = self.session(&request)?;
        let known = session.operation(&request.operation_id).ok();
        match (&known, request.release) {
            (Some(_), Some(Release::ReleaseAll(_))) => {
                session.release_operation(&request.operation_id);
            }
            (Some(operation), Some(Release::ReleaseUntil(until))) => {
                operation.release_until(&until.response_id);
            }
            _ => {}
        }
        Ok(Response::new(sc::ReleaseExecuteResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            operation_id: known.map(|operation| operation.id.clone()),
        }))
    }

    async fn release_session(
        &self,
        request: Request<sc::ReleaseSessionRequest>,
    ) -> Result<Response<sc::ReleaseSessionResponse>, Status> {
        let request = request.into_inner();
        let server_side_session_id = self.sessions.release(
            request.user_context.as_ref(),
            &request.session_id,
            request.allow_reconnect,
        );
        Ok(Response::new(sc::ReleaseSessionResponse {
            session_id: request.session_id,
            server_side_session_id,
        }))
    }

    async fn fetch_error_details(
        &self,
        request: Request<sc::FetchErrorDetailsRequest>,
    ) -> Result<Response<sc::FetchErrorDetailsResponse>, Status> {
        let request = request.into_inner();
        let session = self.session(&request)?;
        let error = session.errors.details(&request.error_id);
        Ok(Response::new(sc::FetchErrorDetailsResponse {
            server_side_session_id: session.server_id.clone(),
            session_id: session.id.clone(),
            root_error_idx: error.is_some().then_some(0),
            errors: error.into_iter().collect(),
        }))
    }

    async fn clone_session(
        &self,
        request: Request<sc::CloneSessionRequest>,
    ) -> Result<Response<sc::CloneSessionResponse>, Status> {
        let request = request.into_inner();
        let session = self.session(&request)?;
        let id = request.new_session_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let new = self.sessions.clone_session(&session, &id)?;
        Ok(Response::new(sc::CloneSessionResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            new_session_id: new.id.clone(),
            new_server_side_session_id: new.server_id.clone(),
        }))
    }

    async fn get_status(
        &self,
        request: Request<sc::GetStatusRequest>,
    ) -> Result<Response<sc::GetStatusResponse>, Status> {
        use sc::get_status_response::OperationStatus;
        use sc::get_status_response::operation_status::OperationState as Wire;
        let request = request.into_inner();
        let session = self.session(&request)?;
        let ids = match request.operation_status {
            Some(wanted) if !wanted.operation_ids.is_empty() => wanted.operation_ids,
            Some(_) => session.operations().iter().map(|operation| operation.id.clone()).collect(),
            None => Vec::new(),
        };
        let statuses = ids.into_iter().map(|operation_id| {
            let state = match session.operation_state(&operation_id) {
                Some(OperationState::Running) => Wire::Running,
                Some(OperationState::Succeeded) => Wire::Succeeded,
                Some(OperationState::Failed) => Wire::Failed,
                Some(OperationState::Cancelled) => Wire::Cancelled,
                None => Wire::Unknown,
            };
            OperationStatus { operation_id, state: state as i32, extensions: Vec::new() }
        });
        Ok(Response::new(sc::GetStatusResponse {
            session_id: session.id.clone(),
            server_side_session_id: session.server_id.clone(),
            operation_statuses: statuses.collect(),
            extensions: Vec::new(),
        }))
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> SparkError {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    SparkError::new(
        ErrorKind::Execution,
        "INTERNAL_ERROR",
        "XX000",
        format!(
            "The driver met a defect of its own: {text}. Please report this with the query that caused it."
        ),
    )
}

type Pairs = Vec<sc::KeyValue>;

fn config(
    session: &ConnectSession,
    application: &dyn Application,
    operation: sc::config_request::operation::OpType,
) -> Result<(Pairs, Vec<String>), SparkError> {
    use sc::config_request::operation::OpType;
    let pair = |key: String, value: Option<String>| sc::KeyValue { key, value };
    let mut warnings = Vec::new();
    let pairs = match operation {
        OpType::Set(set) => {
            let silent = set.silent.unwrap_or(false);
            let settings: Vec<(String, String)> = set
                .pairs
                .into_iter()
                .map(|pair| (pair.key, pair.value.unwrap_or_default()))
                .collect();
            if silent {
                // The session builder's settings, which may belong to the application.
                warnings = application.configure(&settings);
                for (key, value) in &settings {
                    session.plan.set_initial(key, value);
                }
            } else {
                for (key, value) in &settings {
                    session.plan.set(key, value)?;
                }
            }
            Vec::new()
        }
        OpType::Get(get) => {
            let mut pairs = Vec::with_capacity(get.keys.len());
            for key in get.keys {
                let value = session.plan.get(&key).ok_or_else(|| unknown_config(&key))?;
                pairs.push(pair(key, Some(value)));
            }
            pairs
        }
        OpType::GetWithDefault(get) => get
            .pairs
            .into_iter()
            .map(|wanted| {
                let value = session.plan.get(&wanted.key).or(wanted.value);
                pair(wanted.key, value)
            })
            .collect(),
        OpType::GetOption(get) => get
            .keys
            .into_iter()
            .map(|key| {
                let value = session.plan.get(&key);
                pair(key, value)
            })
            .collect(),
        OpType::GetAll(all) => {
            let prefix = all.prefix.unwrap_or_default();
            session
                .plan
                .all()
                .into_iter()
                .filter_map(|(key, value)| {
                    let rest = key.strip_prefix(&prefix)?;
                    Some(pair(rest.to_owned(), Some(value)))
                })
                .collect()
        }
        OpType::Unset(unset) => {
            for key in &unset.keys {
                session.plan.unset(key)?;
            }
            Vec::new()
        }
        OpType::IsModifiable(query) => query
            .keys
            .into_iter()
            .map(|key| {
                let modifiable = session.plan.is_modifiable(&key);
                pair(key, Some(modifiable.to_string()))
            })
            .collect(),
    };
    Ok((pairs, warnings))
}

fn unknown_config(key: &str) -> SparkError {
    SparkError::new(
        ErrorKind::NoSuchElement,
        "SQL_CONF_NOT_FOUND",
        "42K0I",
        format!("The SQL config \"{key}\" cannot be found. Please verify that the config exists."),
    )
    .with("sqlConf", format!("\"{key}\""))
}

/// An upload of artifacts, in batches or in chunks with a CRC each.
#[derive(Debug, Default)]
struct Upload {
    summaries: Vec<sc::add_artifacts_response::ArtifactSummary>,
    chunked: Option<Chunked>,
}

#[derive(Debug)]
struct Chunked {
    name: String,
    data: Vec<u8>,
    chunks_left: i64,
    intact: bool,
}

impl Upload {
    fn take(
        &mut self,
        session: &ConnectSession,
        payload: sc::add_artifacts_request::Payload,
    ) -> Result<(), SparkError> {
        use sc::add_artifacts_request::Payload;
        match payload {
            Payload::Batch(batch) => {
                for artifact in batch.artifacts {
                    let chunk = artifact.data.ok_or_else(|| missing("artifact data"))?;
                    let intact = intact(&chunk);
                    self.store(session, &artifact.name, chunk.data.to_vec(), intact)?;
                }
            }
            Payload::BeginChunk(begin) => {
                let chunk = begin.initial_chunk.ok_or_else(|| missing("initial chunk"))?;
                let chunked = Chunked {
                    name: begin.name,
                    intact: intact(&chunk),
                    data: chunk.data.to_vec(),
                    chunks_left: begin.num_chunks - 1,
                };
                self.chunked = Some(chunked);
                self.end_of_chunks(session)?;
            }
            Payload::Chunk(chunk) => {
                let chunked =
                    self.chunked.as_mut().ok_or_else(|| missing("beginning of the chunks"))?;
                chunked.intact &= intact(&chunk);
                chunked.data.extend_from_slice(&chunk.data);
                chunked.chunks_left -= 1;
                self.end_of_chunks(session)?;
            }
        }
        Ok(())
    }

    fn end_of_chunks(&mut self, session: &ConnectSession) -> Result<(), SparkError> {
        if let Some(chunked) = self.chunked.take_if(|chunked| chunked.chunks_left <= 0) {
            self.store(session, &chunked.name, chunked.data, chunked.intact)?;
        }
        Ok(())
    }

    fn store(
        &mut self,
        session: &ConnectSession,
        name: &str,
        data: Vec<u8>,
        intact: bool,
    ) -> Result<(), SparkError> {
        if intact {
            session.add_artifact(name, data)?;
        }
        self.summaries.push(sc::add_artifacts_response::ArtifactSummary {
            name: name.to_owned(),
            is_crc_successful: intact,
        });
        Ok(())
    }

    fn finish(&self) -> Result<(), SparkError> {
        match &self.chunked {
            None => Ok(()),
            Some(chunked) => Err(missing(&format!(
                "last {} chunks of the artifact {}",
                chunked.chunks_left, chunked.name
            ))),
        }
    }
}

fn intact(chunk: &sc::add_artifacts_request::ArtifactChunk) -> bool {
    i64::from(crc32fast::hash(&chunk.data)) == chunk.crc
}
