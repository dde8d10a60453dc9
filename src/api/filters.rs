//! The filters of lists as `OpenAPI` has them.

use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{RefOr, Required, Schema};

use super::reports::ReportFilters;
use super::spreadsheet::CsvFilters;
use crate::model::filter::{
    CallFilters, CdrFilters, ChangeFilters, Filter, Filters, ForgetFilters, NumberFilters,
    OneCallFilters, PageFilters,
};

/// A filter as a parameter of the query.
pub(super) fn described(filter: &Filter) -> Value {
    let mut parameter = json!({
        "name": filter.name, "in": "query", "required": false, "description": filter.doc(),
        "schema": (filter.schema)(),
    });
    if let Some(example) = filter.example {
        parameter["example"] = json!(example);
    }
    parameter
}

fn parameters<F: Filters>() -> Vec<Parameter> {
    let parameter = |filter: &Filter| {
        let schema: Option<RefOr<Schema>> = serde_json::from_value((filter.schema)()).ok();
        ParameterBuilder::new()
            .name(filter.name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(filter.doc()))
            .schema(schema)
            .example(filter.example.map(Value::from))
            .build()
    };
    F::filters().iter().map(parameter).collect()
}

macro_rules! into_params {
    ($($filters:ty)*) => {$(
        impl IntoParams for $filters {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                parameters::<Self>()
            }
        }
    )*};
}

into_params! {
    CallFilters CdrFilters ChangeFilters CsvFilters ForgetFilters NumberFilters OneCallFilters
    PageFilters ReportFilters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<F: Filters>() -> (Vec<Value>, Vec<Value>) {
        let kept = parameters::<F>().iter().map(|parameter| json!(parameter)).collect();
        (F::filters().iter().map(described).collect(), kept)
    }

    #[test]
    fn nothing_of_a_filter_is_lost_on_its_way_into_the_description() {
        for (wanted, kept) in [
            all::<CallFilters>(),
            all::<CdrFilters>(),
            all::<ChangeFilters>(),
            all::<CsvFilters>(),
            all::<ForgetFilters>(),
            all::<NumberFilters>(),
            all::<OneCallFilters>(),
            all::<PageFilters>(),
            all::<ReportFilters>(),
        ] {
            assert!(!wanted.is_empty());
            assert_eq!(wanted, kept);
        }
    }
}
