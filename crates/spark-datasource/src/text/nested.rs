//! Builders of columns that have parts.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, NullBufferBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType as ArrowType, FieldRef, Fields};
use spark_sql_parser::types::{DataType, Schema};

use super::columns::{ColumnBuilder, Conversions};
use crate::schema::to_arrow;

/// Builds arrays of arrays.
pub(crate) struct ListColumn {
    pub(crate) items: ColumnBuilder,
    field: FieldRef,
    offsets: Vec<i32>,
    item_count: i32,
    nulls: NullBufferBuilder,
}

impl ListColumn {
    pub(super) fn new(data_type: &DataType, element: &DataType) -> Option<Self> {
        let ArrowType::List(field) = to_arrow(data_type) else { return None };
        Some(Self {
            items: ColumnBuilder::new(element)?,
            field,
            offsets: vec![0],
            item_count: 0,
            nulls: NullBufferBuilder::new(0),
        })
    }

    /// An item was appended.
    pub(crate) fn count_item(&mut self) {
        self.item_count += 1;
    }

    /// The items since the last end are one value, or are hidden by a null.
    pub(crate) fn end(&mut self, valid: bool) {
        self.offsets.push(self.item_count);
        self.nulls.append(valid);
    }

    pub(crate) fn append_null(&mut self) {
        self.end(false);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.item_count = 0;
        Arc::new(ListArray::new(
            Arc::clone(&self.field),
            OffsetBuffer::new(offsets.into()),
            self.items.finish(),
            self.nulls.finish(),
        ))
    }
}

/// Builds arrays of maps.
pub(crate) struct MapColumn {
    keys: ColumnBuilder,
    pub(crate) values: ColumnBuilder,
    field: FieldRef,
    entry_fields: Fields,
    offsets: Vec<i32>,
    entry_count: i32,
    nulls: NullBufferBuilder,
}

impl MapColumn {
    pub(super) fn new(data_type: &DataType, key: &DataType, value: &DataType) -> Option<Self> {
        let ArrowType::Map(field, _) = to_arrow(data_type) else { return None };
        let ArrowType::Struct(entry_fields) = field.data_type().clone() else { return None };
        Some(Self {
            keys: ColumnBuilder::new(key)?,
            values: ColumnBuilder::new(value)?,
            field,
            entry_fields,
            offsets: vec![0],
            entry_count: 0,
            nulls: NullBufferBuilder::new(0),
        })
    }

    /// Appends a key; its value must follow.
    pub(crate) fn append_key(&mut self, key: &str, conversions: &Conversions) {
        self.keys.append_text(key, conversions);
        self.entry_count += 1;
    }

    /// The entries since the last end are one value, or are hidden by a null.
    pub(crate) fn end(&mut self, valid: bool) {
        self.offsets.push(self.entry_count);
        self.nulls.append(valid);
    }

    pub(crate) fn append_null(&mut self) {
        self.end(false);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.entry_count = 0;
        let entries = StructArray::new(
            self.entry_fields.clone(),
            vec![self.keys.finish(), self.values.finish()],
            None,
        );
        Arc::new(MapArray::new(
            Arc::clone(&self.field),
            OffsetBuffer::new(offsets.into()),
            entries,
            self.nulls.finish(),
            false,
        ))
    }
}

/// Builds arrays of structs.
pub(crate) struct StructColumn {
    pub(crate) names: Vec<String>,
    pub(crate) columns: Vec<ColumnBuilder>,
    fields: Fields,
    length: usize,
    nulls: NullBufferBuilder,
}

impl StructColumn {
    pub(super) fn new(data_type: &DataType, schema: &Schema) -> Option<Self> {
        let ArrowType::Struct(fields) = to_arrow(data_type) else { return None };
        Some(Self {
            names: schema.fields.iter().map(|field| field.name.clone()).collect(),
            columns: schema
                .fields
                .iter()
                .map(|field| ColumnBuilder::new(&field.data_type))
                .collect::<Option<_>>()?,
            fields,
            length: 0,
            nulls: NullBufferBuilder::new(0),
        })
    }

    /// All columns got the value of one row.
    pub(crate) fn end(&mut self) {
        self.length += 1;
        self.nulls.append_non_null();
    }

    pub(crate) fn append_null(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::append_null);
        self.length += 1;
        self.nulls.append_null();
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let length = std::mem::take(&mut self.length);
        let nulls = self.nulls.finish();
        if self.columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(length, nulls));
        }
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        Arc::new(StructArray::new(self.fields.clone(), columns, nulls))
    }
}
