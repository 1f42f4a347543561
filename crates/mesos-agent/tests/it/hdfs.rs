//! Fetching from HDFS, against a name node and a data node in this process that know one file: as much
//! of Hadoop's protocols as a reader needs. No genuine Hadoop is tried here.

use mesos_api::TaskState;
use mesos_api::prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Scheduler, framework};
use crate::cluster::Cluster;
use crate::fetch::{archive, run, uri};

/// The file is cut into blocks of this size, and these into packets and chunks.
const BLOCK_BYTES: usize = 100_000;
const PACKET_BYTES: usize = 64 * 1024;
const CHUNK_BYTES: usize = 512;
const CRC32C: u32 = 2;

macro_rules! messages {
    ($($name:ident { $($tag:literal $field:ident: $kind:ident $t:ty,)* })*) => {
        $(#[derive(Clone, PartialEq, Message)]
        struct $name { $(#[prost($kind, required, tag = $tag)] $field: $t,)* })*
    };
}

messages! {
    CallHeader { "3" call_id: sint32 i32, }
    MethodHeader { "1" method: string String, }
    AnswerHeader { "1" call_id: uint32 u32, "2" status: uint32 u32, }
    FileRequest { "1" path: string String, }
    Rights { "1" mode: uint32 u32, }
    FileStatus {
        "1" kind: uint32 u32, "2" path: string String, "3" length: uint64 u64, "4" rights: message Rights,
        "5" owner: string String, "6" group: string String, "7" modified: uint64 u64, "8" accessed: uint64 u64,
        "11" block_bytes: uint64 u64,
    }
    FileAnswer { "1" status: message FileStatus, }
    Defaults {
        "1" block_bytes: uint64 u64, "2" chunk_bytes: uint32 u32, "3" packet_bytes: uint32 u32,
        "4" replicas: uint32 u32, "5" buffer_bytes: uint32 u32,
    }
    DefaultsAnswer { "1" defaults: message Defaults, }
    Token { "1" identifier: string String, "2" password: string String, "3" kind: string String, "4" service: string String, }
    Block { "1" pool: string String, "2" id: uint64 u64, "3" stamp: uint64 u64, "4" bytes: uint64 u64, }
    DataNodeId {
        "1" ip: string String, "2" name: string String, "3" uuid: string String, "4" port: uint32 u32,
        "5" info_port: uint32 u32, "6" ipc_port: uint32 u32,
    }
    DataNode { "1" id: message DataNodeId, }
    Place {
        "1" block: message Block, "2" offset: uint64 u64, "3" node: message DataNode, "4" corrupt: bool bool,
        "5" token: message Token,
    }
    PlacesAnswer { "1" places: message Places, }
    ReadBase { "1" block: message Block, }
    ReadHeader { "1" base: message ReadBase, }
    ReadRequest { "1" header: message ReadHeader, "2" offset: uint64 u64, "3" bytes: uint64 u64, }
    Checksum { "1" kind: uint32 u32, "2" chunk_bytes: uint32 u32, }
    ChecksumInfo { "1" checksum: message Checksum, "2" offset: uint64 u64, }
    ReadAnswer { "1" status: uint32 u32, "4" checksum: message ChecksumInfo, }
    PacketHeader { "1" offset: sfixed64 i64, "2" number: sfixed64 i64, "3" last: bool bool, "4" bytes: sfixed32 i32, }
}

#[derive(Clone, PartialEq, Message)]
struct Places {
    #[prost(uint64, required, tag = "1")]
    length: u64,
    #[prost(message, repeated, tag = "2")]
    places: Vec<Place>,
    #[prost(bool, required, tag = "3")]
    growing: bool,
    #[prost(bool, required, tag = "5")]
    complete: bool,
}

/// A message that begins with its length.
async fn read_delimited<T: Message + Default>(socket: &mut TcpStream) -> Option<T> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21] {
        let byte = socket.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut content = vec![0; length];
    socket.read_exact(&mut content).await.ok()?;
    T::decode(content.as_slice()).ok()
}

/// Answers calls about the one file.
async fn name_node(mut socket: TcpStream, path: &str, length: usize, data_port: u16) -> Option<()> {
    let mut greeting = [0; 7];
    socket.read_exact(&mut greeting).await.ok()?;
    assert_eq!(&greeting[..5], b"hrpc\x09");
    loop {
        let size = socket.read_u32().await.ok()?;
        let mut call = vec![0; size as usize];
        socket.read_exact(&mut call).await.ok()?;
        let mut call = call.as_slice();
        let header = CallHeader::decode_length_delimited(&mut call).ok()?;
        if header.call_id < 0 {
            continue;
        }
        let method = MethodHeader::decode_length_delimited(&mut call).ok()?.method;
        let asked = FileRequest::decode_length_delimited(&mut call).unwrap_or_default().path;
        let known = asked == path;
        let body = match method.as_str() {
            "getFileInfo" if known => {
                FileAnswer { status: status(length) }.encode_length_delimited_to_vec()
            }
            "getBlockLocations" if known => {
                PlacesAnswer { places: places(length, data_port) }.encode_length_delimited_to_vec()
            }
            "getServerDefaults" => {
                let defaults = Defaults { block_bytes: BLOCK_BYTES as u64, ..Defaults::default() };
                DefaultsAnswer { defaults }.encode_length_delimited_to_vec()
            }
            // No such file.
            _ => vec![0],
        };
        let call_id = u32::try_from(header.call_id).ok()?;
        let head = AnswerHeader { call_id, status: 0 }.encode_length_delimited_to_vec();
        let size = u32::try_from(head.len() + body.len()).ok()?;
        socket.write_u32(size).await.ok()?;
        socket.write_all(&[head, body].concat()).await.ok()?;
    }
}

fn status(length: usize) -> FileStatus {
    FileStatus {
        kind: 2,
        length: length as u64,
        rights: Rights { mode: 0o644 },
        block_bytes: BLOCK_BYTES as u64,
        ..FileStatus::default()
    }
}

fn places(length: usize, data_port: u16) -> Places {
    let place = |offset: usize| Place {
        block: Block {
            pool: "pool".into(),
            id: (offset / BLOCK_BYTES) as u64,
            stamp: 1,
            bytes: (length - offset).min(BLOCK_BYTES) as u64,
        },
        offset: offset as u64,
        node: DataNode {
            id: DataNodeId {
                ip: "127.0.0.1".into(),
                name: "localhost".into(),
                uuid: "node".into(),
                port: u32::from(data_port),
                ..DataNodeId::default()
            },
        },
        ..Place::default()
    };
    Places {
        length: length as u64,
        places: (0..length).step_by(BLOCK_BYTES).map(place).collect(),
        growing: false,
        complete: true,
    }
}

/// Castagnoli's, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Hands out blocks in packets with checksums.
async fn data_node(mut socket: TcpStream, content: &[u8]) -> Option<()> {
    loop {
        let mut operation = [0; 3];
        socket.read_exact(&mut operation).await.ok()?;
        assert_eq!(operation, [0, 28, 81], "the reading of a block");
        let request: ReadRequest = read_delimited(&mut socket).await?;
        let checksum = Checksum { kind: CRC32C, chunk_bytes: CHUNK_BYTES as u32 };
        let answer =
            ReadAnswer { status: 0, checksum: ChecksumInfo { checksum, offset: request.offset } };
        socket.write_all(&answer.encode_length_delimited_to_vec()).await.ok()?;
        let begin = request.header.base.block.id as usize * BLOCK_BYTES + request.offset as usize;
        let part = &content[begin..begin + request.bytes as usize];
        for (number, packet) in part.chunks(PACKET_BYTES).chain([[].as_slice()]).enumerate() {
            let header = PacketHeader {
                offset: request.offset as i64 + (number * PACKET_BYTES) as i64,
                number: number as i64,
                last: packet.is_empty(),
                bytes: packet.len() as i32,
            };
            let header = header.encode_to_vec();
            let sums = packet.chunks(CHUNK_BYTES).flat_map(|c| crc32c(c).to_be_bytes());
            let sums: Vec<u8> = sums.collect();
            socket.write_u32((4 + sums.len() + packet.len()) as u32).await.ok()?;
            socket.write_u16(header.len() as u16).await.ok()?;
            socket.write_all(&[&header, sums.as_slice(), packet].concat()).await.ok()?;
        }
        let _read: Checksum = read_delimited(&mut socket).await.unwrap_or_default();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_out_of_hdfs_block_by_block() {
    // Several blocks of what does not pack well.
    let mut state = 1_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..250_000).map(|_| random()).collect();
    let content = archive("noise", &noise);
    assert!(content.len() > BLOCK_BYTES, "{}", content.len());
    let (names, data) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let place = format!("hdfs://127.0.0.1:{}", names.local_addr().unwrap().port());
    let (data_port, length) = (data.local_addr().unwrap().port(), content.len());
    tokio::spawn(async move {
        while let Ok((socket, _)) = names.accept().await {
            tokio::spawn(name_node(socket, "/dir/noise.tgz", length, data_port));
        }
    });
    tokio::spawn(async move {
        while let Ok((socket, _)) = data.accept().await {
            let content = content.clone();
            tokio::spawn(async move { data_node(socket, &content).await });
        }
    });
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let uris = vec![uri(format!("{place}/dir/noise.tgz"))];
    let end = run(&mut scheduler, "t1", uris, "test -e noise").await;
    assert_eq!(end.state(), TaskState::Finished, "{}", end.message());
    assert!(std::fs::read(cluster.sandbox("t1").join("noise")).unwrap() == noise);
    let uris = vec![uri(format!("{place}/dir/missing"))];
    let missing = run(&mut scheduler, "t2", uris, "true").await;
    assert!(missing.message().contains("/dir/missing'"), "{}", missing.message());
    assert_eq!(missing.state(), TaskState::Failed);
    cluster.stop().await;
}
