//! Reads headers that list alternatives with weights: `Accept`, `Accept-Encoding`, `Accept-Language`.

/// The alternatives of a header such as `Accept: text/html, */*;q=0.8`, each with its weight in thousandths (RFC 9110,
/// 12.4.2). Parameters other than `q` are left out; a weight that can't be read counts as 1.
pub fn weighed(value: &str) -> impl Iterator<Item = (&str, u16)> {
    value.split(',').filter_map(|alternative| {
        let mut parts = alternative.split(';');
        let name = parts.next()?.trim();
        let weight = parts
            .filter_map(|parameter| parameter.trim().split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
            .map_or(1000, |(_, weight)| thousandths(weight.trim()));
        (!name.is_empty()).then_some((name, weight))
    })
}

/// `0.85` as 850.
fn thousandths(weight: &str) -> u16 {
    match weight.parse::<f32>() {
        // The clamp keeps the product within 0 to 1000.
        Ok(weight) if weight.is_finite() => (weight.clamp(0.0, 1.0) * 1000.0).round() as u16,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_as_thousandths() {
        let read: Vec<_> = weighed("text/html, */*;q=0.8 ,x;level=1;Q=0, , y;q=nonsense, z;q=7").collect();
        assert_eq!(read, [("text/html", 1000), ("*/*", 800), ("x", 0), ("y", 1000), ("z", 1000)]);
    }
}
