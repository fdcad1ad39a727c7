//! A drawing area with axes, in which values become places.

use std::fmt::Write as _;

/// Width of all plots.
pub(super) const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 26.0;

/// A plot under way.
pub(super) struct Plot {
    svg: String,
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Plot {
    /// An empty plot of a height, over ranges of both axes.
    pub(super) fn new(height: f64, x: (f64, f64), y: (f64, f64)) -> Self {
        let svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
        let wide = |(from, to): (f64, f64)| (from, if to > from { to } else { from + 1.0 });
        Self { svg, height, x: wide(x), y: wide(y) }
    }

    pub(super) fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        let share = (value - self.y.0) / (self.y.1 - self.y.0);
        self.height - BOTTOM - share * (self.height - TOP - BOTTOM)
    }

    /// Lines and labels at these values of the x axis.
    pub(super) fn x_axis(&mut self, ticks: &[(f64, String)]) {
        let (top, bottom) = (TOP, self.height - BOTTOM);
        for (value, label) in ticks {
            let x = self.x(*value);
            let below = bottom + 16.0;
            self.add(&format!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom:.1}\"/>\
                 <text x=\"{x:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{label}</text>"
            ));
        }
    }

    /// Lines and labels at these values of the y axis.
    pub(super) fn y_axis(&mut self, ticks: &[(f64, String)]) {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        for (value, label) in ticks {
            let y = self.y(*value);
            let (beside, under) = (left - 6.0, y + 4.0);
            self.add(&format!(
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{beside}\" y=\"{under:.1}\" text-anchor=\"end\">{label}</text>"
            ));
        }
    }

    /// A stepped curve with the area under it.
    pub(super) fn curve(&mut self, class: &str, points: &[(f64, f64)]) {
        let Some((first, last)) = points.first().zip(points.last()) else { return };
        let mut path = format!("M{:.1},{:.1}", self.x(first.0), self.y(first.1));
        for (x, y) in points {
            let _ = write!(path, "H{:.1}V{:.1}", self.x(*x), self.y(*y));
        }
        let (from, to) = (self.x(first.0), self.x(last.0));
        let ground = self.y(self.y.0);
        self.add(&format!(
            "<path class=\"area {class}\" d=\"{path}L{to:.1},{ground:.1}H{from:.1}Z\"/>\
             <path class=\"line {class}\" d=\"{path}\"/>"
        ));
    }

    /// A box between two values of each axis.
    pub(super) fn rect(&mut self, class: &str, x: (f64, f64), y: (f64, f64), title: &str) {
        let (left, right) = (self.x(x.0), self.x(x.1));
        let (top, bottom) = (self.y(y.1), self.y(y.0));
        let (width, height) = ((right - left).max(1.0), (bottom - top).max(0.5));
        self.add(&format!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"><title>{title}</title></rect>"
        ));
    }

    /// A dot.
    pub(super) fn dot(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        let (x, y) = (self.x(x), self.y(y));
        self.add(&format!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
        ));
    }

    /// A dashed line across at a value of the x axis, with a word.
    pub(super) fn fence(&mut self, value: f64, word: &str) {
        let (x, top, bottom) = (self.x(value), TOP, self.height - BOTTOM);
        let (beside, under) = (x - 5.0, top + 24.0);
        self.add(&format!(
            "<line class=\"fence\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom:.1}\"/>\
             <text class=\"fence\" x=\"{beside:.1}\" y=\"{under}\" text-anchor=\"end\">{word}</text>"
        ));
    }

    fn add(&mut self, element: &str) {
        self.svg.push_str(element);
    }

    /// The finished plot.
    pub(super) fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}
