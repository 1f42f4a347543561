//! The programs as users start them: `bin/spark-submit` on every kind of master, with PySpark's own client.

mod answers;
mod bad_input;
mod cluster;
mod loss;
mod programs;
mod run;
mod sharing;
