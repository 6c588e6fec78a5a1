//! A page about a folder of photos: its figures, tables, and photos in rows.

use std::fmt::Write;

use super::{
    escape::{self, fill},
    page::{STYLE, colours},
};
use crate::Picture;

const TEMPLATE: &str = include_str!("photos.html");

/// A page about photos.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhotoPage {
    /// Its title.
    pub title: String,
    /// The program and the date.
    pub written_by: String,
    /// Main figures, each with its name.
    pub figures: Vec<(String, String)>,
    /// Sentences below the figures.
    pub notes: Vec<String>,
    /// The sections.
    pub sections: Vec<PhotoSection>,
}

/// A section of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhotoSection {
    /// Its heading.
    pub heading: String,
    /// A sentence below it.
    pub note: String,
    /// A table: the names of its columns, and rows of as many cells. Without rows there is none.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// Photos that belong together, each group with a label.
    pub groups: Vec<(String, Vec<Thumbnail>)>,
}

/// A small photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Thumbnail {
    /// The photo, if it can be shown.
    pub picture: Option<Picture>,
    /// What is written below it.
    pub caption: String,
}

/// The HTML document of a page. It is deterministic and self-contained, and all text is escaped.
pub fn photos(page: &PhotoPage) -> String {
    let link = |(i, section): (usize, &PhotoSection)| {
        format!("<li><a href=\"#section-{i}\">{}</a>", escape::text(&section.heading))
    };
    let contents: String = page.sections.iter().enumerate().map(link).collect();
    let sections: String = page.sections.iter().enumerate().map(section).collect();
    let title = escape::text(&page.title);
    fill(
        TEMPLATE,
        &[
            ("title", &title),
            ("colours", &colours()),
            ("style", STYLE),
            ("contents", &format!("<li><a href=\"#summary\">Summary</a>{contents}")),
            ("summary", &summary(page)),
            ("sections", &sections),
            ("written_by", &escape::text(&page.written_by)),
        ],
    )
}

fn summary(page: &PhotoPage) -> String {
    let figure = |(name, value): &(String, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>", escape::text(name), escape::text(value))
    };
    let figures: String = page.figures.iter().map(figure).collect();
    let notes: String = page
        .notes
        .iter()
        .map(|note| format!("<p class=\"note\">{}</p>", escape::text(note)))
        .collect();
    format!("<dl class=\"cards\">{figures}</dl>{notes}")
}

fn section((index, section): (usize, &PhotoSection)) -> String {
    let mut out = format!(
        "<section id=\"section-{index}\" class=\"run\"><h2>{}</h2>",
        escape::text(&section.heading)
    );
    if !section.note.is_empty() {
        let _ = write!(out, "<p class=\"hint\">{}</p>", escape::text(&section.note));
    }
    if !section.rows.is_empty() {
        out += &table(section);
    }
    for (label, photos) in &section.groups {
        if !label.is_empty() {
            let _ = write!(out, "<h3>{}</h3>", escape::name(label));
        }
        let photos: String = photos.iter().map(figure).collect();
        let _ = write!(out, "<div class=\"photos\">{photos}</div>");
    }
    out + "</section>\n"
}

fn table(section: &PhotoSection) -> String {
    let heads: String = section
        .columns
        .iter()
        .map(|column| format!("<th scope=\"col\">{}", escape::text(column)))
        .collect();
    let row = |cells: &Vec<String>| {
        let cell = |(i, cell): (usize, &String)| match i {
            0 => format!("<th scope=\"row\">{}", escape::name(cell)),
            _ => format!("<td>{}", escape::name(cell)),
        };
        format!("<tr>{}", cells.iter().enumerate().map(cell).collect::<String>())
    };
    let rows: String = section.rows.iter().map(row).collect();
    format!(
        "<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"numbers\">\
         <thead><tr>{heads}</thead><tbody>{rows}</tbody></table></div>",
        escape::text(&section.heading)
    )
}

fn figure(photo: &Thumbnail) -> String {
    let image = photo.picture.as_ref().map_or_else(String::new, |picture| {
        let (width, height) = (picture.width, picture.height);
        format!(
            "<img src=\"{}\" width=\"{width}\" height=\"{height}\" alt=\"\">",
            picture.data_uri()
        )
    });
    format!("<figure>{image}<figcaption>{}</figcaption></figure>", escape::name(&photo.caption))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_photos_are_inline() {
        let evil = "<script>alert(1)</script>".to_owned();
        let photo = |picture| Thumbnail { picture, caption: evil.clone() };
        let page = PhotoPage {
            title: evil.clone(),
            written_by: evil.clone(),
            figures: vec![(evil.clone(), evil.clone())],
            notes: vec![evil.clone()],
            sections: vec![PhotoSection {
                heading: evil.clone(),
                note: evil.clone(),
                columns: vec![evil.clone()],
                rows: vec![vec![evil.clone(), evil.clone()]],
                groups: vec![(
                    evil.clone(),
                    vec![photo(Some(Picture::new(1, 1, vec![1, 2, 3]))), photo(None)],
                )],
            }],
        };
        let html = photos(&page);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;"));
        assert_eq!(html.matches("<img src=\"data:image/png;base64,").count(), 1);
        assert_eq!(html.matches("<figure>").count(), 2);
        assert!(!html.contains("{{") && !html.contains("://"));
    }
}
