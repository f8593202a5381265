//! `--screenshots`: the pictures of the documentation, taken in a real browser.

use std::path::Path;

use approzium_peers::{
    Chromium, Error, Result,
    jaeger::{Query, pages::Pages},
};

use crate::{
    links::Links,
    report::{DENIED, SLOW, Seen},
    workload::REPORTING,
};

/// So wide that the names of the Authenticator's spans can be read.
const WIDTH: u32 = 1440;
/// Higher than anything that there is to see.
const HEIGHT: u32 = 2400;

const SEARCH: &str = "search.png";
const TRACE: &str = "trace.png";
const DENIAL: &str = "denied.png";

/// The pictures, as they stand on the page.
pub(crate) const PICTURES: [&str; 3] = [SEARCH, TRACE, DENIAL];

/// What the links of the report lead to.
pub(crate) async fn take(
    query: &Query,
    links: &[Links],
    seen: &[Seen],
    folder: &Path,
) -> Result<()> {
    let mut browser = Chromium::start().await?;
    browser.resize(WIDTH, HEIGHT).await?;
    let mut pages = Pages::new(&mut browser);
    for links in links {
        if links.pod.name == REPORTING.name {
            pages.search(&links.everything).await?;
            shoot(&mut pages, folder, SEARCH).await?;
        }
    }
    for (step, picture) in [(SLOW, TRACE), (DENIED, DENIAL)] {
        let step = seen.iter().find(|seen| seen.step.name == step);
        let span = step.and_then(|seen| Some((seen, seen.main_span()?)));
        let (seen, span) =
            span.ok_or_else(|| Error::Failed(format!("nothing to see in {picture}")))?;
        pages.trace(&query.trace_link(&seen.trace.id, None)).await?;
        pages.tags(&span.id).await?;
        shoot(&mut pages, folder, picture).await?;
    }
    Ok(())
}

/// As high as what there is to see.
async fn shoot(pages: &mut Pages<'_>, folder: &Path, name: &str) -> Result<()> {
    let browser = pages.browser();
    let end = "Math.ceil(Math.max(...[...document.querySelectorAll(
        '.SearchForm, .ResultItem, .VirtualizedTraceView--row'
    )].map(item => item.getBoundingClientRect().bottom)))";
    let end = browser.evaluate(end).await?;
    let height = end.as_u64().and_then(|end| u32::try_from(end).ok());
    browser.resize(WIDTH, height.unwrap_or(HEIGHT) + 12).await?;
    // A search's results are dots in a plot too, which come later and grow.
    let plotted = "new Promise(tell => {
        const plot = () => document.querySelector('.TraceResultsScatterPlot')?.innerHTML;
        const before = plot();
        const dots = document.querySelectorAll('.recharts-dot').length;
        const enough = dots == document.querySelectorAll('.ResultItem').length;
        setTimeout(() => tell(enough && plot() == before), 500);
    })";
    browser.until("the plot at rest", plotted).await?;
    let path = folder.join(name);
    let written = std::fs::write(&path, browser.screenshot().await?);
    written.map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
    println!("{}", path.display());
    browser.resize(WIDTH, HEIGHT).await
}
