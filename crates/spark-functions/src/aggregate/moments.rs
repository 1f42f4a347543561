//! Skewness, kurtosis, and the value that goes with the largest or smallest other one.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::mem::size_of_val;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType as Arrow, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;

use super::AggregateDefinition;
use crate::udf::Params;

pub(super) const DEFINITIONS: &[AggregateDefinition] = &[
    AggregateDefinition {
        name: "skewness",
        nullable: true,
        state: |_, _| vec![Arrow::Float64; 5],
        accumulator: |_, _| Ok(Box::new(Moments::new(Moments::skewness))),
        groups: None,
    },
    AggregateDefinition {
        name: "kurtosis",
        nullable: true,
        state: |_, _| vec![Arrow::Float64; 5],
        accumulator: |_, _| Ok(Box::new(Moments::new(Moments::kurtosis))),
        groups: None,
    },
    AggregateDefinition {
        name: "max_by",
        nullable: true,
        state: pair,
        accumulator: |params, inputs| Best::boxed(params, inputs, Ordering::Greater),
        groups: None,
    },
    AggregateDefinition {
        name: "min_by",
        nullable: true,
        state: pair,
        accumulator: |params, inputs| Best::boxed(params, inputs, Ordering::Less),
        groups: None,
    },
];

fn pair(_params: &Params, inputs: &[FieldRef]) -> Vec<Arrow> {
    inputs.iter().map(|field| field.data_type().clone()).collect()
}

/// Gives an accumulator that only grows a moving window: keeps the window's rows and starts over for each answer.
pub(super) struct Replay {
    pub create: Box<dyn Fn() -> Result<Box<dyn Accumulator>> + Send + Sync>,
    pub rows: VecDeque<Vec<ArrayRef>>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("rows", &self.rows.len()).finish()
    }
}

impl Replay {
    fn replayed(&self) -> Result<Box<dyn Accumulator>> {
        let mut inner = (self.create)()?;
        for row in &self.rows {
            inner.update_batch(row)?;
        }
        Ok(inner)
    }
}

impl Accumulator for Replay {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        for row in 0..rows {
            self.rows.push_back(values.iter().map(|column| column.slice(row, 1)).collect());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        self.rows.drain(..rows.min(self.rows.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a moving window has no partial results")
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.replayed()?.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.replayed()?.evaluate()
    }

    fn size(&self) -> usize {
        let held: usize =
            self.rows.iter().flatten().map(|array| array.get_array_memory_size()).sum();
        size_of_val(self) + held
    }
}

/// `CentralMomentAgg`: count, mean and the sums of the second to fourth powers of the deviations.
#[derive(Debug)]
struct Moments {
    n: f64,
    mean: f64,
    m2: f64,
    m3: f64,
    m4: f64,
    finish: fn(&Self) -> Option<f64>,
}

impl Moments {
    fn new(finish: fn(&Self) -> Option<f64>) -> Self {
        Self { n: 0.0, mean: 0.0, m2: 0.0, m3: 0.0, m4: 0.0, finish }
    }

    fn skewness(&self) -> Option<f64> {
        if self.n == 0.0 || self.m2 == 0.0 {
            return None;
        }
        Some(self.n.sqrt() * self.m3 / (self.m2 * self.m2 * self.m2).sqrt())
    }

    fn kurtosis(&self) -> Option<f64> {
        if self.n == 0.0 || self.m2 == 0.0 {
            return None;
        }
        Some(self.n * self.m4 / (self.m2 * self.m2) - 3.0)
    }

    fn add(&mut self, value: f64) {
        let n = self.n + 1.0;
        let delta = value - self.mean;
        let step = delta / n;
        let m2 = self.m2 + delta * (delta - step);
        let m3 = self.m3 - 3.0 * step * m2 + delta * (delta * delta - step * step);
        self.m4 = self.m4 - 4.0 * step * m3 - 6.0 * step * step * m2
            + delta * (delta * delta * delta - step * step * step);
        (self.n, self.mean, self.m2, self.m3) = (n, self.mean + step, m2, m3);
    }

    fn merge(&mut self, n2: f64, mean2: f64, m2: f64, m3: f64, m4: f64) {
        let (n1, n) = (self.n, self.n + n2);
        if n2 == 0.0 {
            return;
        }
        let delta = mean2 - self.mean;
        let step = if n == 0.0 { 0.0 } else { delta / n };
        self.m4 += m4
            + step * step * step * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
            + step * step * 6.0 * (n1 * n1 * m2 + n2 * n2 * self.m2)
            + step * 4.0 * (n1 * m3 - n2 * self.m3);
        self.m3 +=
            m3 + step * step * delta * n1 * n2 * (n1 - n2) + step * 3.0 * (n1 * m2 - n2 * self.m2);
        self.m2 += m2 + delta * step * n1 * n2;
        self.mean += step * n2;
        self.n = n;
    }
}

impl Accumulator for Moments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.add(value);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let column = |index: usize| states[index].as_primitive::<Float64Type>();
        for row in 0..states[0].len() {
            self.merge(
                column(0).value(row),
                column(1).value(row),
                column(2).value(row),
                column(3).value(row),
                column(4).value(row),
            );
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok([self.n, self.mean, self.m2, self.m3, self.m4].map(|v| v.into()).to_vec())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.finish)(self)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// MAX_BY and MIN_BY: the first argument where the second is extreme; of equals the last, as Spark keeps it.
#[derive(Debug)]
struct Best {
    value: ScalarValue,
    key: ScalarValue,
    wanted: Ordering,
}

impl Best {
    fn boxed(
        _params: &Params,
        inputs: &[FieldRef],
        wanted: Ordering,
    ) -> Result<Box<dyn Accumulator>> {
        let null = |index: usize| {
            let data_type = inputs.get(index).map_or(&Arrow::Null, |field| field.data_type());
            ScalarValue::try_from(data_type)
        };
        Ok(Box::new(Self { value: null(0)?, key: null(1)?, wanted }))
    }
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[1].len() {
            if values[1].is_null(row) {
                continue;
            }
            let key = ScalarValue::try_from_array(&values[1], row)?;
            let order = key.partial_cmp(&self.key);
            if self.key.is_null() || order == Some(self.wanted) || order == Some(Ordering::Equal) {
                self.value = ScalarValue::try_from_array(&values[0], row)?;
                self.key = key;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.key.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.key.size()
    }
}
