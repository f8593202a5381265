//! Query spans that say who ran the query.
