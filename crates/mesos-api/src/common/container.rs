//! Commands, their environment, containers, networks, volumes.

use super::{ContainerId, Credential, Label, Labels, Parameter, Parameters};

/// Parts of [`CommandInfo`].
pub mod command_info {
    message! {
        /// Something to fetch into the sandbox.
        #[derive(Eq)]
        Uri = "mesos.v1.CommandInfo.URI" {
            1 value: req string,
            2 executable: opt bool,
            3 extract: opt bool = true,
            4 cache: opt bool,
            5 output_file: opt string,
        }
    }
}

/// Parts of [`Environment`].
pub mod environment {
    use super::Secret;

    enumeration! {
        /// Whether a variable is text or a secret.
        VariableType = "mesos.v1.Environment.Variable.Type" { Value "VALUE" = 1, Unknown "UNKNOWN" = 0, Secret "SECRET" = 2 }
    }
    message! {
        /// One variable.
        #[derive(Eq)]
        Variable = "mesos.v1.Environment.Variable" {
            1 name: req string,
            3 r#type: opt enum VariableType,
            2 value: opt string,
            4 secret: opt Secret,
        }
    }
}

/// Parts of [`Secret`].
pub mod secret {
    enumeration! {
        /// Whether a secret is a reference or a value.
        Type = "mesos.v1.Secret.Type" { Unknown "UNKNOWN" = 0, Reference "REFERENCE" = 1, Value "VALUE" = 2 }
    }
    message! {
        /// A secret kept elsewhere.
        #[derive(Eq)]
        Reference = "mesos.v1.Secret.Reference" { 1 name: req string, 2 key: opt string, }
        /// A secret itself.
        #[derive(Eq)]
        SecretValue = "mesos.v1.Secret.Value" { 1 data: req bytes, }
    }
}

/// Parts of [`Volume`].
pub mod volume {
    use super::{Parameters, Secret};

    enumeration! {
        /// Whether a volume may be written.
        Mode = "mesos.v1.Volume.Mode" { Rw "RW" = 1, Ro "RO" = 2 }
        /// Where a volume comes from.
        SourceType = "mesos.v1.Volume.Source.Type" {
            Unknown "UNKNOWN" = 0, DockerVolume "DOCKER_VOLUME" = 1, HostPath "HOST_PATH" = 4,
            SandboxPath "SANDBOX_PATH" = 2, Secret "SECRET" = 3,
        }
        /// Whose sandbox a path is in.
        SandboxPathType = "mesos.v1.Volume.Source.SandboxPath.Type" { Unknown "UNKNOWN" = 0, SelfSandbox "SELF" = 1, Parent "PARENT" = 2 }
        /// Which way mounts propagate.
        MountPropagationMode = "mesos.v1.MountPropagation.Mode" {
            Unknown "UNKNOWN" = 0, HostToContainer "HOST_TO_CONTAINER" = 1, Bidirectional "BIDIRECTIONAL" = 2,
        }
    }
    message! {
        /// Where a volume comes from.
        #[derive(Eq)]
        Source = "mesos.v1.Volume.Source" {
            1 r#type: opt enum SourceType,
            2 docker_volume: opt DockerVolume,
            5 host_path: opt HostPath,
            3 sandbox_path: opt SandboxPath,
            4 secret: opt Secret,
        }
        /// A volume of a Docker driver.
        #[derive(Eq)]
        DockerVolume = "mesos.v1.Volume.Source.DockerVolume" { 1 driver: opt string, 2 name: req string, 3 driver_options: opt Parameters, }
        /// A folder of the host.
        #[derive(Eq)]
        HostPath = "mesos.v1.Volume.Source.HostPath" { 1 path: req string, 2 mount_propagation: opt MountPropagation, }
        /// A folder of a sandbox.
        #[derive(Eq)]
        SandboxPath = "mesos.v1.Volume.Source.SandboxPath" { 1 r#type: opt enum SandboxPathType, 2 path: req string, }
        /// Which way mounts propagate.
        #[derive(Eq)]
        MountPropagation = "mesos.v1.MountPropagation" { 1 mode: opt enum MountPropagationMode, }
    }
}

/// Parts of [`Image`].
pub mod image {
    use super::{Credential, Labels, Secret};

    enumeration! {
        /// Format of an image.
        Type = "mesos.v1.Image.Type" { Appc "APPC" = 1, Docker "DOCKER" = 2 }
    }
    message! {
        /// An image in the Appc format.
        #[derive(Eq)]
        Appc = "mesos.v1.Image.Appc" { 1 name: req string, 2 id: opt string, 3 labels: opt Labels, }
        /// A Docker image.
        #[derive(Eq)]
        Docker = "mesos.v1.Image.Docker" { 1 name: req string, 2 credential: opt Credential, 3 config: opt Secret, }
    }
}

/// Parts of [`NetworkInfo`].
pub mod network_info {
    enumeration! {
        /// Version of the internet protocol.
        Protocol = "mesos.v1.NetworkInfo.Protocol" { Ipv4 "IPv4" = 1, Ipv6 "IPv6" = 2 }
    }
    message! {
        /// An address asked for or given.
        #[derive(Eq)]
        IpAddress = "mesos.v1.NetworkInfo.IPAddress" { 1 protocol: opt enum Protocol, 2 ip_address: opt string, }
        /// A port of the host mapped into a container.
        #[derive(Eq)]
        PortMapping = "mesos.v1.NetworkInfo.PortMapping" { 1 host_port: req uint32, 2 container_port: req uint32, 3 protocol: opt string, }
    }
}

/// Parts of [`ContainerInfo`].
pub mod container_info {
    use super::{Image, Parameter};

    enumeration! {
        /// Which containerizer runs a container.
        Type = "mesos.v1.ContainerInfo.Type" { Docker "DOCKER" = 1, Mesos "MESOS" = 2 }
        /// Network mode of a Docker container.
        Network = "mesos.v1.ContainerInfo.DockerInfo.Network" { Host "HOST" = 1, Bridge "BRIDGE" = 2, None "NONE" = 3, User "USER" = 4 }
        /// A limit of the kernel.
        RLimitType = "mesos.v1.RLimitInfo.RLimit.Type" {
            Unknown "UNKNOWN" = 0, As "RLMT_AS" = 1, Core "RLMT_CORE" = 2, Cpu "RLMT_CPU" = 3, Data "RLMT_DATA" = 4,
            Fsize "RLMT_FSIZE" = 5, Locks "RLMT_LOCKS" = 6, Memlock "RLMT_MEMLOCK" = 7, Msgqueue "RLMT_MSGQUEUE" = 8,
            Nice "RLMT_NICE" = 9, Nofile "RLMT_NOFILE" = 10, Nproc "RLMT_NPROC" = 11, Rss "RLMT_RSS" = 12,
            Rtprio "RLMT_RTPRIO" = 13, Rttime "RLMT_RTTIME" = 14, Sigpending "RLMT_SIGPENDING" = 15, Stack "RLMT_STACK" = 16,
        }
    }
    message! {
        /// What the Docker containerizer needs.
        #[derive(Eq)]
        DockerInfo = "mesos.v1.ContainerInfo.DockerInfo" {
            1 image: req string,
            2 network: opt enum Network,
            3 port_mappings: rep DockerPortMapping,
            4 privileged: opt bool = false,
            5 parameters: rep Parameter,
            6 force_pull_image: opt bool,
            7 volume_driver: opt string,
        }
        /// A port of the host mapped into a Docker container.
        #[derive(Eq)]
        DockerPortMapping = "mesos.v1.ContainerInfo.DockerInfo.PortMapping" { 1 host_port: req uint32, 2 container_port: req uint32, 3 protocol: opt string, }
        /// What the Mesos containerizer needs.
        #[derive(Eq)]
        MesosInfo = "mesos.v1.ContainerInfo.MesosInfo" { 1 image: opt Image, }
        /// Limits of the kernel.
        #[derive(Eq)]
        RLimitInfo = "mesos.v1.RLimitInfo" { 1 rlimits: rep RLimit, }
        /// A limit of the kernel.
        #[derive(Eq)]
        RLimit = "mesos.v1.RLimitInfo.RLimit" { 1 r#type: opt enum RLimitType, 2 hard: opt uint64, 3 soft: opt uint64, }
        /// A terminal.
        #[derive(Eq)]
        TtyInfo = "mesos.v1.TTYInfo" { 1 window_size: opt WindowSize, }
        /// Size of a terminal.
        #[derive(Eq)]
        WindowSize = "mesos.v1.TTYInfo.WindowSize" { 1 rows: req uint32, 2 columns: req uint32, }
    }
}

use command_info::Uri;
use container_info::{DockerInfo, MesosInfo, RLimitInfo, TtyInfo, Type as ContainerType};
use environment::Variable;
use image::{Appc, Docker, Type as ImageType};
use network_info::{IpAddress, PortMapping};
use secret::{Reference, SecretValue, Type as SecretType};
use volume::{Mode as VolumeMode, Source as VolumeSource};

message! {
    /// What to run, with what around it.
    #[derive(Eq)]
    CommandInfo = "mesos.v1.CommandInfo" {
        1 uris: rep Uri,
        2 environment: opt Environment,
        6 shell: opt bool = true,
        3 value: opt string,
        7 arguments: rep string,
        5 user: opt string,
    }
    /// Environment variables.
    #[derive(Eq)]
    Environment = "mesos.v1.Environment" { 1 variables: rep Variable, }
    /// A secret or a reference to one.
    #[derive(Eq)]
    Secret = "mesos.v1.Secret" { 1 r#type: opt enum SecretType, 2 reference: opt Reference, 3 value: opt SecretValue, }
    /// A folder seen inside a container.
    #[derive(Eq)]
    Volume = "mesos.v1.Volume" {
        3 mode: req enum VolumeMode,
        1 container_path: req string,
        2 host_path: opt string,
        4 image: opt Image,
        5 source: opt VolumeSource,
    }
    /// A container image.
    #[derive(Eq)]
    Image = "mesos.v1.Image" { 1 r#type: req enum ImageType, 2 appc: opt Appc, 3 docker: opt Docker, 4 cached: opt bool = true, }
    /// A network a container joins.
    #[derive(Eq)]
    NetworkInfo = "mesos.v1.NetworkInfo" {
        5 ip_addresses: rep IpAddress,
        6 name: opt string,
        3 groups: rep string,
        4 labels: opt Labels,
        7 port_mappings: rep PortMapping,
    }
    /// The container of a task or executor.
    #[derive(Eq)]
    ContainerInfo = "mesos.v1.ContainerInfo" {
        1 r#type: req enum ContainerType,
        2 volumes: rep Volume,
        4 hostname: opt string,
        3 docker: opt DockerInfo,
        5 mesos: opt MesosInfo,
        7 network_infos: rep NetworkInfo,
        9 rlimit_info: opt RLimitInfo,
        10 tty_info: opt TtyInfo,
    }
    /// What is known about a running container.
    #[derive(Eq)]
    ContainerStatus = "mesos.v1.ContainerStatus" { 4 container_id: opt ContainerId, 1 network_infos: rep NetworkInfo, 3 executor_pid: opt uint32, }
}

impl Environment {
    /// Builds an environment of plain text variables.
    pub fn of<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| Variable {
                name: name.into(),
                value: Some(value.into()),
                ..Variable::default()
            })
            .collect();
        Self { variables }
    }
}

impl Labels {
    /// Builds labels of pairs.
    pub fn of<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        let labels = labels
            .into_iter()
            .map(|(key, value)| Label { key: key.into(), value: Some(value.into()) })
            .collect();
        Self { labels }
    }
}
