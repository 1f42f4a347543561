//! `SPARK_*` variables, as `conf/spark-env.sh` or the shell passes them.

use crate::table;

/// Variables that stand for a property; a property set anywhere else wins over them.
const VARIABLES: &[(&str, &str)] = &[
    ("MASTER", "spark.master"),
    ("SPARK_MASTER", "spark.master"),
    ("SPARK_EXECUTOR_URI", "spark.executor.uri"),
    ("SPARK_EXECUTOR_MEMORY", "spark.executor.memory"),
    ("SPARK_EXECUTOR_CORES", "spark.executor.cores"),
    ("SPARK_DRIVER_MEMORY", "spark.driver.memory"),
    ("SPARK_LOCAL_IP", "spark.driver.bindAddress"),
    ("SPARK_PUBLIC_DNS", "spark.ferrospark.publicHost"),
    ("SPARK_LOCAL_DIRS", "spark.local.dir"),
    ("SPARK_MESOS_PRINCIPAL", "spark.mesos.principal"),
    ("SPARK_MESOS_PRINCIPAL_FILE", "spark.mesos.principal.file"),
    ("SPARK_MESOS_SECRET", "spark.mesos.secret"),
    ("SPARK_MESOS_SECRET_FILE", "spark.mesos.secret.file"),
    ("PYSPARK_PYTHON", "spark.pyspark.python"),
    ("PYSPARK_DRIVER_PYTHON", "spark.pyspark.driver.python"),
];

/// The settings the environment makes: (variable, property, value). Empty variables count as unset.
pub fn environment_settings(
    lookup: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, &'static str, String)> {
    VARIABLES
        .iter()
        .filter_map(|(variable, property)| {
            debug_assert!(table::find(property).is_some(), "{property} is not in the table");
            let value = lookup(variable).filter(|value| !value.is_empty())?;
            Some((*variable, *property, value))
        })
        .collect()
}

/// A remark about a variable that is accepted but changes nothing.
pub fn variable_note(variable: &str) -> Option<&'static str> {
    match variable {
        "MESOS_NATIVE_JAVA_LIBRARY" | "MESOS_NATIVE_LIBRARY" => {
            Some("the native Mesos library is not needed: the HTTP API is spoken directly")
        }
        "SPARK_JAVA_OPTS" | "SPARK_DAEMON_JAVA_OPTS" => Some("there is no JVM to pass options to"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_for_properties() {
        let settings = environment_settings(|name| match name {
            "SPARK_EXECUTOR_URI" => Some("http://h/f.tgz".to_owned()),
            "SPARK_LOCAL_IP" => Some(String::new()),
            _ => None,
        });
        assert_eq!(
            settings,
            [("SPARK_EXECUTOR_URI", "spark.executor.uri", "http://h/f.tgz".to_owned())]
        );
    }
}
