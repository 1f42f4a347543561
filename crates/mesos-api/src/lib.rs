//! mesos-api
