//! Checksums of what is fetched, given as the fragment of its address: `#sha256=…` or `#sha512=…`.

use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Sha256, Sha512};

/// Bytes read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// What a file must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    Sha256(String),
    Sha512(String),
}

/// Takes the checksum off an address. Other fragments stay what they are.
pub(super) fn split(address: &str) -> Result<(&str, Option<Checksum>), String> {
    let Some((bare, fragment)) = address.rsplit_once('#') else { return Ok((address, None)) };
    let (checksum, digits) = if let Some(hex) = fragment.strip_prefix("sha256=") {
        (Checksum::Sha256(hex.to_ascii_lowercase()), 64)
    } else if let Some(hex) = fragment.strip_prefix("sha512=") {
        (Checksum::Sha512(hex.to_ascii_lowercase()), 128)
    } else {
        return Ok((address, None));
    };
    let (Checksum::Sha256(hex) | Checksum::Sha512(hex)) = &checksum;
    if hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok((bare, Some(checksum)))
    } else {
        Err(format!("'{fragment}' is no checksum of {digits} hexadecimal digits"))
    }
}

impl Checksum {
    /// Says what is wrong with a file, if something is.
    pub(super) fn check(&self, file: &Path) -> io::Result<Result<(), String>> {
        let (name, expected, found) = match self {
            Self::Sha256(expected) => ("sha256", expected, digest::<Sha256>(file)?),
            Self::Sha512(expected) => ("sha512", expected, digest::<Sha512>(file)?),
        };
        if *expected == found {
            return Ok(Ok(()));
        }
        Ok(Err(format!("its {name} is {found} and should be {expected}")))
    }
}

fn digest<D: sha2::Digest>(file: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(file)?;
    let mut digest = D::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn fragments_are_checksums_if_they_say_so() {
        let address = format!("http://h/f#sha256={}", EMPTY.to_uppercase());
        let (bare, checksum) = split(&address).unwrap();
        assert_eq!((bare, checksum), ("http://h/f", Some(Checksum::Sha256(EMPTY.to_owned()))));
        assert_eq!(split("http://h/f#part").unwrap(), ("http://h/f#part", None));
        assert!(split("http://h/f#sha256=12").is_err());
        assert!(split("http://h/f#sha512=zz").is_err());
    }

    #[test]
    fn files_are_compared() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let right = Checksum::Sha256(EMPTY.to_owned());
        assert_eq!(right.check(file.path()).unwrap(), Ok(()));
        std::fs::write(file.path(), "x").unwrap();
        let told = right.check(file.path()).unwrap().unwrap_err();
        assert!(told.starts_with("its sha256 is 2d711642"), "{told}");
    }
}
