//! mesos-agent
