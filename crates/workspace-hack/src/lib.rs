//! Holds no code: its manifest unifies the features of external dependencies (see there).
