//! mesos-client
