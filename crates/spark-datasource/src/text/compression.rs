//! Compressed text files, told by their extension as Hadoop's codecs are.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::{self, Result};

/// A codec of text files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Codec {
    None,
    Gzip,
    Deflate,
    Bzip2,
    Zstd,
}

impl Codec {
    /// What a file's name says; names of codecs that are not here are an error.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|text| text.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("gz" | "gzip") => Ok(Self::Gzip),
            Some("deflate") => Ok(Self::Deflate),
            Some("bz2") => Ok(Self::Bzip2),
            Some("zst") => Ok(Self::Zstd),
            Some(unknown @ ("lz4" | "snappy" | "lzo" | "xz")) => Err(error::failed_read(
                &crate::path::to_url(path),
                &format!("the codec .{unknown} cannot be read; use .gz, .bz2, .zst or .deflate"),
            )),
            _ => Ok(Self::None),
        }
    }

    /// The codec of the `compression` option of a text write.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.to_lowercase().as_str() {
            "none" | "uncompressed" | "" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "bzip2" => Ok(Self::Bzip2),
            "zstd" | "zstandard" => Ok(Self::Zstd),
            _ => Err(error::bad_option(
                "compression",
                text,
                "it must be one of none, uncompressed, bzip2, deflate, gzip, zstd",
            )),
        }
    }

    /// With the leading dot; empty for none.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Deflate => ".deflate",
            Self::Bzip2 => ".bz2",
            Self::Zstd => ".zst",
        }
    }

    pub(crate) fn reader(
        self,
        input: impl Read + Send + 'static,
    ) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Self::Deflate => Box::new(flate2::read::ZlibDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(input)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(input)?),
        })
    }

    pub(crate) fn writer<W: Write + Send + 'static>(self, output: W) -> io::Result<Encoder<W>> {
        Ok(match self {
            Self::None => Encoder::None(output),
            Self::Gzip => {
                Encoder::Gzip(flate2::write::GzEncoder::new(output, flate2::Compression::default()))
            }
            Self::Deflate => Encoder::Deflate(flate2::write::ZlibEncoder::new(
                output,
                flate2::Compression::default(),
            )),
            Self::Bzip2 => {
                Encoder::Bzip2(bzip2::write::BzEncoder::new(output, bzip2::Compression::default()))
            }
            Self::Zstd => Encoder::Zstd(zstd::stream::write::Encoder::new(output, 3)?),
        })
    }
}

/// A compressing writer that must be finished.
pub(crate) enum Encoder<W: Write> {
    None(W),
    Gzip(flate2::write::GzEncoder<W>),
    Deflate(flate2::write::ZlibEncoder<W>),
    Bzip2(bzip2::write::BzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None(output) => output.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Deflate(encoder) => encoder.write_all(bytes),
            Self::Bzip2(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Writes the codec's trailer and gives the file back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
            Self::Bzip2(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
