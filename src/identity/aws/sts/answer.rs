//! What STS answered, read as strictly as it can be read.
//!
//! A proof's holder must not be able to have another document, or another service's answer, taken
//! for a statement of identity. So the status is 200, the type `text/xml`, the document begins at
//! byte 0 and ends with the body, and it is exactly this and nothing else:
//!
//! ```xml
//! <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
//!   <GetCallerIdentityResult><Arn>…</Arn><UserId>…</UserId><Account>…</Account></GetCallerIdentityResult>
//!   <ResponseMetadata><RequestId>…</RequestId></ResponseMetadata>
//! </GetCallerIdentityResponse>
//! ```

use http::StatusCode;
use roxmltree::{Document, Node};

use crate::{
    error::printable,
    identity::{Arn, Rejection, VerifiedIdentity},
};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

pub(crate) fn read(
    status: StatusCode,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<VerifiedIdentity, Rejection> {
    if status != StatusCode::OK {
        return Err(refusal(status, body));
    }
    if !is_xml(content_type) {
        return Err(Rejection::UnexpectedAnswer("its type is not text/xml"));
    }
    let text =
        std::str::from_utf8(body).map_err(|_| Rejection::UnexpectedAnswer("it is not UTF-8"))?;
    let statement = statement(text)?;
    let arn = Arn::parse(&statement.arn)
        .map_err(|_| Rejection::UnexpectedAnswer("its Arn is not an identity's"))?;
    if arn.account() != statement.account {
        return Err(Rejection::UnexpectedAnswer("its Account is not its Arn's"));
    }
    VerifiedIdentity::new(&statement.arn, &statement.user_id)
        .map_err(|_| Rejection::UnexpectedAnswer("its Arn is of no kind that a caller has"))
}

struct Statement {
    arn: String,
    user_id: String,
    account: String,
}

fn statement(text: &str) -> Result<Statement, Rejection> {
    const NOT_THE_DOCUMENT: Rejection =
        Rejection::UnexpectedAnswer("it is not one GetCallerIdentityResponse");
    if !text.starts_with('<') {
        return Err(Rejection::UnexpectedAnswer("it does not begin with XML"));
    }
    // The parser refuses document types, and with them entities.
    let document = Document::parse(text)
        .map_err(|_| Rejection::UnexpectedAnswer("it is not well-formed XML"))?;
    let root = document.root_element();
    // Besides the root, a document can hold comments and processing instructions. Within the root
    // they are none of its elements, and refused as such below.
    if document.root().children().count() != 1
        || !text
            .get(root.range().end..)
            .unwrap_or("-")
            .trim_ascii()
            .is_empty()
    {
        return Err(Rejection::UnexpectedAnswer(
            "there is more than one document in it",
        ));
    }
    if !root.has_tag_name((NAMESPACE, "GetCallerIdentityResponse")) {
        return Err(NOT_THE_DOCUMENT);
    }
    let [result, metadata] =
        children(root, ["GetCallerIdentityResult", "ResponseMetadata"]).ok_or(NOT_THE_DOCUMENT)?;
    let [request_id] = children(metadata, ["RequestId"]).ok_or(NOT_THE_DOCUMENT)?;
    let [arn, user_id, account] =
        children(result, ["Arn", "UserId", "Account"]).ok_or(NOT_THE_DOCUMENT)?;
    leaf(request_id).ok_or(NOT_THE_DOCUMENT)?;
    Ok(Statement {
        arn: leaf(arn).ok_or(NOT_THE_DOCUMENT)?,
        user_id: leaf(user_id).ok_or(NOT_THE_DOCUMENT)?,
        account: leaf(account).ok_or(NOT_THE_DOCUMENT)?,
    })
}

/// The children of these names, if each is there once, in any order, and nothing else is.
fn children<'a, 'input, const N: usize>(
    parent: Node<'a, 'input>,
    names: [&str; N],
) -> Option<[Node<'a, 'input>; N]> {
    let mut found = [None; N];
    for child in parent.children() {
        if child.is_text()
            && child
                .text()
                .is_some_and(|text| text.trim_ascii().is_empty())
        {
            continue;
        }
        let place = names
            .iter()
            .position(|name| child.has_tag_name((NAMESPACE, *name)))?;
        let place = found.get_mut(place)?;
        if place.replace(child).is_some() {
            return None;
        }
    }
    // One for each name was found, or there is a gap.
    let found: Option<Vec<_>> = found.into_iter().collect();
    found?.try_into().ok()
}

/// The text of an element that holds nothing else.
fn leaf(element: Node<'_, '_>) -> Option<String> {
    let mut children = element.children();
    let text = children.next().filter(Node::is_text)?;
    (children.next().is_none() && element.attributes().len() == 0)
        .then(|| text.text().map(str::to_owned))
        .flatten()
}

/// `text/xml`, whatever its parameters.
fn is_xml(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case("text/xml")
    })
}

/// What any other status than 200 means. Error documents are read leniently, whatever their type:
/// they only ever refuse.
fn refusal(status: StatusCode, body: &[u8]) -> Rejection {
    let code = error_code(body);
    match (status.as_u16(), code.as_deref()) {
        (429, _)
        | (
            400 | 403 | 503,
            Some(
                "Throttling"
                | "ThrottlingException"
                | "ThrottledException"
                | "RequestThrottled"
                | "RequestThrottledException"
                | "RequestLimitExceeded"
                | "TooManyRequestsException"
                | "SlowDown",
            ),
        ) => Rejection::Throttled,
        (500.., _) => Rejection::Unavailable(format!("it answered {}", status.as_u16())),
        (400 | 403, Some("SignatureDoesNotMatch")) => Rejection::Signature,
        (
            400 | 403,
            Some(
                "InvalidClientTokenId"
                | "ExpiredToken"
                | "ExpiredTokenException"
                | "UnrecognizedClientException",
            ),
        ) => Rejection::Credentials,
        (400 | 403, Some(code)) => Rejection::Refused(code.to_owned()),
        (403, None) => Rejection::Refused("403".to_owned()),
        (300..400, _) => Rejection::UnexpectedAnswer("it is a redirect"),
        _ => Rejection::UnexpectedAnswer("its status is neither success nor a known refusal"),
    }
}

/// `Error` > `Code`, as STS and its stand-ins write it.
fn error_code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let document = Document::parse(text).ok()?;
    let code = document
        .descendants()
        .find(|node| {
            node.tag_name().name() == "Code"
                && node
                    .parent()
                    .is_some_and(|parent| parent.tag_name().name() == "Error")
        })?
        .text()?;
    Some(printable(code))
}

#[cfg(test)]
mod tests;
