//! mesos-master
