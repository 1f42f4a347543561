//! The decoders, and what must hold of what they read.

use mesos_api::json::JsonValue;
use mesos_api::prost::Message;
use mesos_api::recordio;
use mesos_api::resources::{Resources, parse_attributes, parse_value};
use mesos_client::zookeeper::{ZooKeeperUrl, leading_child, read_master};

/// One decoder.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What its inputs are made of.
    pub words: &'static [&'static str],
    /// Feeds it; answers in short what it made of the input, panics where it contradicts itself.
    pub run: fn(&[u8]) -> String,
}

/// All of them.
#[must_use]
pub fn decoders() -> Vec<Decoder> {
    vec![
        Decoder {
            name: "recordio",
            words: &["\n", "0\n", "1\n", "18446744073709551615\n", "{}"],
            run: recordio,
        },
        Decoder {
            name: "json",
            words: &[
                "null",
                "{}",
                "[]",
                "\"type\":",
                "\"value\":",
                "\"scalar\":",
                "true",
                "\"Infinity\"",
                "\\u0000",
                "\"SCALAR\"",
                "\"task_id\":",
            ],
            run: json,
        },
        Decoder {
            name: "protobuf",
            words: &["\u{a}", "\u{12}", "\u{1a}", "\u{8}\u{1}", "\u{a}\u{0}"],
            run: protobuf,
        },
        Decoder {
            name: "text",
            words: &[
                "cpus:", "mem:", ";", "ports:[", "]", "{", "}", "(role)", "-", ",", "secs", "mins",
                "[1-2]", "é",
            ],
            run: text,
        },
        Decoder {
            name: "zookeeper",
            words: &[
                "zk://",
                "@",
                ":",
                "/",
                ",",
                "json.info_",
                "info_",
                "\n",
                "\"address\":{",
                "\"pid\":",
            ],
            run: zookeeper,
        },
        Decoder {
            name: "archive",
            words: &[
                "../",
                "/",
                "ustar",
                "PK\u{3}\u{4}",
                "PK\u{1}\u{2}",
                "d/",
                "a",
                "\0\0\0\0",
                "0000001\0",
            ],
            run: super::archives::unpacked,
        },
    ]
}

/// However the stream is cut, its records are the same, and together no longer than it.
fn recordio(input: &[u8]) -> String {
    const LIMIT: usize = 4096;
    let read = |step: usize| {
        let mut decoder = recordio::Decoder::new(LIMIT);
        let mut records = Vec::new();
        for piece in input.chunks(step) {
            decoder.push(piece);
            loop {
                match decoder.next_record() {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => break,
                    Err(_) => return (records, true),
                }
            }
        }
        (records, false)
    };
    let (whole, failed) = read(input.len().max(1));
    for step in [1, 3, 7] {
        let (pieces, piecewise) = read(step);
        assert_eq!(pieces, whole, "cut in pieces of {step}");
        assert_eq!(piecewise, failed, "cut in pieces of {step}");
    }
    let bytes: usize = whole.iter().map(bytes::Bytes::len).sum();
    assert!(bytes <= input.len() && whole.iter().all(|record| record.len() <= LIMIT));
    format!("{} {failed}", whole.len().min(8))
}

/// What was read and is written is read as the same again, in both encodings.
fn again<M: Message + JsonValue + Default>(message: &M) -> String {
    let bytes = message.encode_to_vec();
    let decoded = M::decode(bytes.as_slice());
    let decoded = decoded.unwrap_or_else(|error| panic!("its own bytes cannot be read: {error}"));
    assert_eq!(decoded.encode_to_vec(), bytes, "protobuf again");
    let json = message.to_json();
    // What has no name has no JSON: a number of an enum from the future is left out, and if it is required missing.
    if let Ok(read) = M::from_json(&json) {
        assert_eq!(read.to_json(), json, "JSON again");
    }
    // The shape of a message: its fields, without what is in them.
    shape(&json, 3)
}

fn shape(json: &serde_json::Value, depth: u8) -> String {
    match json {
        serde_json::Value::Object(object) if depth > 0 => {
            let fields =
                object.iter().map(|(key, value)| format!("{key}{}", shape(value, depth - 1)));
            format!("{{{}}}", fields.take(12).collect::<String>())
        }
        serde_json::Value::Array(items) => items.first().map_or(String::new(), |i| shape(i, depth)),
        _ => String::new(),
    }
}

macro_rules! messages {
    ($use:ident) => {
        [
            $use::<mesos_api::scheduler::Call>,
            $use::<mesos_api::scheduler::Event>,
            $use::<mesos_api::executor::Call>,
            $use::<mesos_api::executor::Event>,
            $use::<mesos_api::master::Call>,
            $use::<mesos_api::agent_protocol::ToMaster>,
            $use::<mesos_api::agent_protocol::ToAgent>,
            $use::<mesos_api::TaskInfo>,
            $use::<mesos_api::MasterInfo>,
        ]
    };
}

fn json(input: &[u8]) -> String {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(input) else { return String::new() };
    fn read<M: Message + JsonValue + Default>(json: &serde_json::Value) -> String {
        match M::from_json(json) {
            Ok(message) => again(&message),
            Err(error) => {
                error.to_string().chars().filter(|c| !c.is_ascii_digit()).take(40).collect()
            }
        }
    }
    let reads: [fn(&serde_json::Value) -> String; 9] = messages!(read);
    reads.iter().map(|read| read(&json)).collect::<Vec<_>>().join("|")
}

fn protobuf(input: &[u8]) -> String {
    // The first byte says which message the rest is.
    let Some((kind, input)) = input.split_first() else { return String::new() };
    fn read<M: Message + JsonValue + Default>(input: &[u8]) -> String {
        M::decode(input).map_or_else(|_| "no".to_owned(), |message| again(&message))
    }
    let reads: [fn(&[u8]) -> String; 9] = messages!(read);
    let kind = usize::from(*kind) % reads.len();
    format!("{kind} {}", reads[kind](input))
}

/// Resources, attributes, values, durations. What is read keeps its amounts when added and taken away.
fn text(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
    let resources = match Resources::parse(text, "*") {
        Ok(resources) => {
            let mut sum = resources.clone();
            sum.add_all(&resources);
            assert!(sum.contains(&resources), "twice is less than once");
            sum.subtract_all(&resources);
            assert!(resources.contains(&resources) || resources.is_empty(), "not in itself");
            let names: Vec<_> =
                resources.iter().map(|r| (r.r#type, r.reservations.len())).collect();
            format!("{:?}", &names[..names.len().min(4)])
        }
        Err(error) => {
            error.to_string().chars().filter(|c| c.is_ascii_lowercase()).take(40).collect()
        }
    };
    let attributes = match parse_attributes(text) {
        Ok(attributes) => attributes.len().min(4).to_string(),
        Err(error) => {
            error.to_string().chars().filter(|c| c.is_ascii_lowercase()).take(40).collect()
        }
    };
    let value = parse_value(text).is_ok();
    let duration = mesos_api::duration::parse_duration(text).is_ok();
    format!("{resources} {attributes} {value} {duration}")
}

/// A URL, a list of nodes and the data of a master's node, one per line.
fn zookeeper(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let url = ZooKeeperUrl::parse(lines.next().unwrap_or_default());
    if let Ok(url) = &url {
        assert!(!url.servers().is_empty() && !url.paths().is_empty());
        if let Some((user, password)) = url.digest().as_deref().and_then(|d| d.split_once(':')) {
            // It may also stand where everyone may read it.
            let open = format!("{user}@{}{}", url.servers(), url.paths().concat());
            let hidden = password.len() > 8 && !open.contains(password);
            assert!(!hidden || !format!("{url:?}").contains(password), "the password is shown");
        }
    }
    let children: Vec<String> =
        lines.next().unwrap_or_default().split(',').map(str::to_owned).collect();
    let leader = leading_child(&children).map(str::to_owned);
    let data = lines.next().unwrap_or_default().as_bytes();
    let master =
        leader.as_deref().map(|child| read_master(child, data).map(|(address, _)| address));
    let master = match master {
        None => "nobody",
        Some(Ok(_)) => "somebody",
        Some(Err(problem)) if problem.contains("label") => "label",
        Some(Err(problem)) if problem.contains("no address") => "nowhere",
        Some(Err(_)) => "unreadable",
    };
    format!("{} {master}", url.is_ok())
}
