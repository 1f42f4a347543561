//! `spark.mesos.{driver,executor}.secret.*`: secrets for a task, by value or by the name under which the
//! agents' secret store knows them, seen there as variables, as files, or both.

use mesos_api::environment::{Variable, VariableType};
use mesos_api::secret::{Reference, SecretValue, Type as SecretType};
use mesos_api::volume::{Mode, Source, SourceType};
use mesos_api::{Secret, Volume};
use spark_conf::{Property, SparkConf, table};

use crate::settings::SettingsError;

/// The four properties of one kind of task.
pub(crate) struct SecretProperties {
    names: &'static Property<Vec<String>>,
    values: &'static Property<Vec<String>>,
    variables: &'static Property<Vec<String>>,
    files: &'static Property<Vec<String>>,
}

/// Those of executors.
pub(crate) const EXECUTOR: SecretProperties = SecretProperties {
    names: &table::MESOS_EXECUTOR_SECRET_NAMES,
    values: &table::MESOS_EXECUTOR_SECRET_VALUES,
    variables: &table::MESOS_EXECUTOR_SECRET_ENVKEYS,
    files: &table::MESOS_EXECUTOR_SECRET_FILENAMES,
};

/// Those of drivers in cluster mode.
pub(crate) const DRIVER: SecretProperties = SecretProperties {
    names: &table::MESOS_DRIVER_SECRET_NAMES,
    values: &table::MESOS_DRIVER_SECRET_VALUES,
    variables: &table::MESOS_DRIVER_SECRET_ENVKEYS,
    files: &table::MESOS_DRIVER_SECRET_FILENAMES,
};

/// Secrets as a task needs them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Secrets {
    /// Variables of type SECRET.
    pub(crate) variables: Vec<Variable>,
    /// Read-only volumes.
    pub(crate) volumes: Vec<Volume>,
}

impl Secrets {
    /// # Errors
    /// When both names and values are given, or the counts of secrets and places differ.
    pub(crate) fn from_conf(
        conf: &SparkConf,
        properties: &SecretProperties,
    ) -> Result<Self, SettingsError> {
        let names = conf.get(properties.names)?;
        let values = conf.get(properties.values)?;
        if !names.is_empty() && !values.is_empty() {
            return Err(SettingsError::Conflict(format!(
                "{} and {} are both set; expected one of them",
                properties.names.name(),
                properties.values.name()
            )));
        }
        let (source, secrets): (_, Vec<Secret>) = if values.is_empty() {
            (properties.names, names.into_iter().map(reference).collect())
        } else {
            (properties.values, values.into_iter().map(value).collect())
        };
        let variables = conf.get(properties.variables)?;
        let files = conf.get(properties.files)?;
        if !secrets.is_empty() && variables.is_empty() && files.is_empty() {
            return Err(SettingsError::Conflict(format!(
                "{} is set, but neither {} nor {} says where the secrets appear",
                source.name(),
                properties.variables.name(),
                properties.files.name()
            )));
        }
        let places = [(properties.variables, &variables), (properties.files, &files)];
        for (property, places) in places {
            if !places.is_empty() && places.len() != secrets.len() {
                return Err(SettingsError::Value {
                    property: property.name(),
                    value: places.join(","),
                    problem: format!(
                        "{} entries; expected {}, as many as {} has",
                        places.len(),
                        secrets.len(),
                        source.name()
                    ),
                });
            }
        }
        let variables =
            variables.into_iter().zip(&secrets).map(|(name, secret)| variable(name, secret));
        let volumes = files.into_iter().zip(&secrets).map(|(path, secret)| volume(path, secret));
        Ok(Self { variables: variables.collect(), volumes: volumes.collect() })
    }
}

fn reference(name: String) -> Secret {
    let mut secret =
        Secret { reference: Some(Reference { name, ..Reference::default() }), ..Secret::default() };
    secret.set_type(SecretType::Reference);
    secret
}

fn value(data: String) -> Secret {
    let data = data.into_bytes().into();
    let mut secret = Secret { value: Some(SecretValue { data }), ..Secret::default() };
    secret.set_type(SecretType::Value);
    secret
}

fn variable(name: String, secret: &Secret) -> Variable {
    let mut variable = Variable { name, secret: Some(secret.clone()), ..Variable::default() };
    variable.set_type(VariableType::Secret);
    variable
}

fn volume(container_path: String, secret: &Secret) -> Volume {
    let mut source = Source { secret: Some(secret.clone()), ..Source::default() };
    source.set_type(SourceType::Secret);
    let mut volume = Volume { container_path, source: Some(source), ..Volume::default() };
    volume.set_mode(Mode::Ro);
    volume
}

#[cfg(test)]
mod tests {
    use super::*;
    use spark_conf::Origin;

    fn of(settings: &[(&str, &str)]) -> Result<Secrets, String> {
        let mut conf = SparkConf::new();
        for (key, value) in settings {
            conf.set(Origin::Program, &format!("spark.mesos.executor.secret.{key}"), value);
        }
        Secrets::from_conf(&conf, &EXECUTOR).map_err(|error| error.to_string())
    }

    #[test]
    fn by_value_and_by_name() {
        assert_eq!(of(&[]), Ok(Secrets::default()));
        let secrets = of(&[("values", "a,b"), ("envkeys", "A,B"), ("filenames", "x,y")]).unwrap();
        let first = secrets.variables[0].secret.as_ref().unwrap();
        assert_eq!(secrets.variables[0].name, "A");
        assert_eq!(secrets.variables[0].r#type(), VariableType::Secret);
        assert_eq!(first.value.as_ref().unwrap().data.as_ref(), b"a");
        assert_eq!(secrets.volumes[1].container_path, "y");
        assert_eq!(secrets.volumes[1].mode(), Mode::Ro);
        let secrets = of(&[("names", "/path/to"), ("filenames", "x")]).unwrap();
        assert!(secrets.variables.is_empty());
        let secret = secrets.volumes[0].source.as_ref().unwrap().secret.as_ref().unwrap();
        assert_eq!(secret.reference.as_ref().unwrap().name, "/path/to");
        assert_eq!(secret.r#type(), SecretType::Reference);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = of(&[("names", "a"), ("values", "b")]).unwrap_err();
        assert!(error.contains("secret.names") && error.contains("secret.values"), "{error}");
        let error = of(&[("values", "a")]).unwrap_err();
        assert!(error.contains("envkeys") && error.contains("filenames"), "{error}");
        let error = of(&[("values", "a,b"), ("envkeys", "A")]).unwrap_err();
        assert!(error.contains("\"A\"") && error.contains("expected 2"), "{error}");
        let error = of(&[("envkeys", "A")]).unwrap_err();
        assert!(error.contains("envkeys") && error.contains("expected 0"), "{error}");
    }
}
