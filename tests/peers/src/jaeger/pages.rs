//! Jaeger's pages, as somebody at a browser sees them.

use serde_json::Value;

use crate::{Chromium, Result};

/// Jaeger's pages in a browser.
pub struct Pages<'a> {
    browser: &'a mut Chromium,
}

/// A line of a search's results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The service and the name of the trace's root: `checkout: POST /orders`.
    pub name: String,
    /// Where a click on it leads.
    pub link: String,
}

/// A line of a trace's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The span's id.
    pub span: String,
    /// The id of the span in which it is drawn; none for a root.
    pub parent: Option<String>,
    /// The service of the span.
    pub service: String,
    /// The name of the span.
    pub name: String,
}

/// A line of the tags of a span that was clicked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value as it is shown.
    pub value: String,
    /// If it is a link: what that promises, and where it leads.
    pub link: Option<(String, String)>,
}

impl<'a> Pages<'a> {
    /// In this browser.
    pub fn new(browser: &'a mut Chromium) -> Self {
        Pages { browser }
    }

    /// The browser, to look closer.
    pub fn browser(&mut self) -> &mut Chromium {
        self.browser
    }

    /// Follows a link to a search, and reads its results.
    pub async fn search(&mut self, link: &str) -> Result<Vec<Listed>> {
        self.browser.open(link).await?;
        let ready = "!!document.querySelector('.ResultItem, [data-test=no-results]')";
        self.browser.until("results of a search", ready).await?;
        let read = "[...document.querySelectorAll('.ResultItemTitle')].map(item => ({
            name: item.querySelector('.TraceName').innerText,
            link: item.querySelector('a[href]').href,
        }))";
        let listed = self.browser.evaluate(read).await?;
        let listed = listed.as_array().into_iter().flatten();
        Ok(listed
            .map(|item| Listed {
                name: text(&item["name"]),
                link: text(&item["link"]),
            })
            .collect())
    }

    /// Follows a link to a trace, and reads its timeline, as far as the window is high.
    pub async fn trace(&mut self, link: &str) -> Result<Vec<Row>> {
        self.browser.open(link).await?;
        let ready = "!!document.querySelector('.span-row')";
        self.browser.until("a trace's timeline", ready).await?;
        let read = "[...document.querySelectorAll('.span-row')].map(row => ({
            span: row.parentElement.dataset.itemKey.replace('--bar', ''),
            parent: [...row.querySelectorAll('[data-ancestor-id]')].pop().dataset.ancestorId,
            service: row.querySelector('.span-svc-name').innerText.trim(),
            name: row.querySelector('.endpoint-name').innerText.trim(),
        }))";
        let rows = self.browser.evaluate(read).await?;
        let rows = rows.as_array().into_iter().flatten();
        Ok(rows
            .map(|row| Row {
                span: text(&row["span"]),
                parent: Some(text(&row["parent"])).filter(|parent| parent != "root"),
                service: text(&row["service"]),
                name: text(&row["name"]),
            })
            .collect())
    }

    /// Clicks on a span of the trace, opens its tags, and reads them.
    pub async fn tags(&mut self, span: &str) -> Result<Vec<Tag>> {
        let click =
            format!("document.querySelector('[data-item-key^=\"{span}\"] .span-name').click()");
        self.browser.evaluate(&click).await?;
        let header = format!(
            "document.querySelector('[data-item-key^=\"{span}--detail\"] [role=switch].AccordianKeyValues--header')"
        );
        self.browser
            .until("a span's detail", &format!("!!{header}"))
            .await?;
        self.browser.evaluate(&format!("{header}.click()")).await?;
        let rows = format!(
            "[...document.querySelectorAll('[data-item-key^=\"{span}--detail\"] .KeyValueTable--row')]"
        );
        self.browser
            .until("a span's tags", &format!("{rows}.length"))
            .await?;
        let read = format!("{rows}.map(row => ({{
            key: row.querySelector('.KeyValueTable--keyColumn').innerText.trim(),
            value: row.querySelector('.KeyValueTable--valueColumn').lastElementChild.innerText.trim(),
            title: row.querySelector('a')?.title,
            link: row.querySelector('a')?.href,
        }}))");
        let tags = self.browser.evaluate(&read).await?;
        let tags = tags.as_array().into_iter().flatten();
        Ok(tags
            .map(|tag| Tag {
                key: text(&tag["key"]),
                value: text(&tag["value"]),
                link: tag["link"]
                    .is_string()
                    .then(|| (text(&tag["title"]), text(&tag["link"]))),
            })
            .collect())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
