//! The driver's future, and what is told of it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::Operation;
use crate::postgres::observer::callers::Announced;

/// An operation that lasts as long as the driver's future, which sends it when it is first polled.
///
/// By hand, since each `async` function around a query is one more thing to go through, twice.
pub(super) struct UnderWay<'a, D, E> {
    driver: Pin<&'a mut D>,
    /// The operation, and what ends it with the driver's result; None: it has ended.
    operation: Option<(Operation, E)>,
}

impl<'a, D, E> UnderWay<'a, D, E> {
    pub(super) fn of<R>(operation: Operation, driver: Pin<&'a mut D>, end: E) -> Self
    where
        D: Future,
        E: FnOnce(Operation, D::Output) -> R,
    {
        UnderWay {
            driver,
            operation: Some((operation, end)),
        }
    }
}

/// Nothing in it is pinned by it.
impl<D, E> Unpin for UnderWay<'_, D, E> {}

impl<D, E, R> Future for UnderWay<'_, D, E>
where
    D: Future,
    E: FnOnce(Operation, D::Output) -> R,
{
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let is_announced = |(operation, _): &(Operation, E)| operation.announcement.is_some();
        let result = {
            let announced = self.operation.as_ref().is_some_and(is_announced);
            let _announced = announced.then(Announced::begin);
            ready!(self.driver.as_mut().poll(cx))
        };
        match self.operation.take() {
            Some((operation, end)) => Poll::Ready(end(operation, result)),
            None => Poll::Pending,
        }
    }
}
