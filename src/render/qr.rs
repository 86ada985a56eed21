//! QR codes as pictures in a page: the template function `qr`.

use std::fmt::Write;

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

use super::escape;

/// The light modules around a code; ISO/IEC 18004 asks for four.
const QUIET: usize = 4;

/// The width and height in CSS pixels that a page may change.
const SIZE: usize = 240;

/// A text as a QR code in SVG, safe to stand in HTML. Dark on light whatever the page's colours are: many readers take
/// no code that is light on dark, or that has no light border. `label` is what a screen reader says.
pub(super) fn svg(text: &str, label: &str) -> Result<String, String> {
    // Medium correction, which a seventh of the code may be hidden from.
    let code = QrCode::with_error_correction_level(text, EcLevel::M)
        .map_err(|_| format!("`qr` was given {} bytes, which is more than a QR code holds", text.len()))?;
    let (width, colors) = (code.width(), code.to_colors());
    let whole = width + 2 * QUIET;
    let mut out = String::with_capacity(256 + colors.len() * 5);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"qr\" role=\"img\" width=\"{SIZE}\" height=\"{SIZE}\" \
         viewBox=\"0 0 {whole} {whole}\" shape-rendering=\"crispEdges\" aria-label=\""
    );
    // Writing to a string can't fail.
    let _ = escape::html_text(&mut out, label);
    let _ = write!(out, "\"><path fill=\"#fff\" d=\"M0 0h{whole}v{whole}H0z\"/><path fill=\"#000\" d=\"");
    for (row, modules) in colors.chunks(width).enumerate() {
        draw_row(&mut out, modules, row + QUIET);
    }
    out.push_str("\"/></svg>");
    Ok(out)
}

/// The dark modules of a row, each run of them as one rectangle.
fn draw_row(out: &mut String, modules: &[Color], y: usize) {
    let mut x = QUIET;
    for run in modules.chunk_by(|a, b| a == b) {
        if run[0] == Color::Dark {
            let length = run.len();
            let _ = write!(out, "M{x} {y}h{length}v1h-{length}z");
        }
        x += run.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules that a picture's path paints, row by row.
    fn painted(svg: &str) -> Vec<(usize, usize)> {
        let path = svg.split("fill=\"#000\" d=\"M").nth(1).unwrap().split("z\"").next().unwrap();
        let mut modules = Vec::new();
        for run in path.split("zM") {
            let (place, length) = run.split('v').next().unwrap().split_once('h').unwrap();
            let (x, y) = place.split_once(' ').unwrap();
            let (x, y, length): (usize, usize, usize) =
                (x.parse().unwrap(), y.parse().unwrap(), length.parse().unwrap());
            modules.extend((x..x + length).map(|x| (x, y)));
        }
        modules
    }

    #[test]
    fn the_picture_paints_the_dark_modules() {
        let text = "otpauth://totp/Example:maria%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let code = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        let dark = (0..code.width()).flat_map(|y| (0..code.width()).map(move |x| (x, y)));
        let dark: Vec<_> =
            dark.filter(|place| code[*place] == Color::Dark).map(|(x, y)| (x + QUIET, y + QUIET)).collect();
        assert_eq!(painted(&svg(text, "QR code").unwrap()), dark);
    }

    #[test]
    fn the_label_is_escaped() {
        let svg = svg("x", "a\"><script>").unwrap();
        assert!(svg.contains("aria-label=\"a&quot;&gt;&lt;script&gt;\">"), "{svg}");
    }

    #[test]
    fn a_text_that_is_too_long_is_told() {
        assert!(svg(&"x".repeat(2331), "x").is_ok());
        assert!(svg(&"x".repeat(2332), "x").unwrap_err().contains("2332 bytes"));
    }
}
