//! Generates the executor service from a description in Rust; its messages are written by hand in
//! `src/protocol.rs`.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let connect = Method::builder()
        .name("attach")
        .route_name("Attach")
        .input_type("crate::protocol::FromExecutor")
        .output_type("crate::protocol::ToExecutor")
        .codec_path("::tonic_prost::ProstCodec")
        .client_streaming()
        .server_streaming()
        .build();
    let properties = Method::builder()
        .name("properties")
        .route_name("Properties")
        .input_type("crate::protocol::PropertiesRequest")
        .output_type("crate::protocol::Registered")
        .codec_path("::tonic_prost::ProstCodec")
        .build();
    let service = Service::builder()
        .name("ExecutorEndpoint")
        .package("ferrospark.exec.v1")
        .method(connect)
        .method(properties)
        .build();
    Builder::new().compile(&[service]);
}
