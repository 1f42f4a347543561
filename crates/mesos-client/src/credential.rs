//! Who we are.

use std::fmt;

use base64::Engine;

/// A principal and its secret, sent by HTTP Basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The principal.
    pub principal: String,
    /// Its secret.
    pub secret: String,
}

impl Credential {
    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        let pair = format!("{}:{}", self.principal, self.secret);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credential").field("principal", &self.principal).finish_non_exhaustive()
    }
}
