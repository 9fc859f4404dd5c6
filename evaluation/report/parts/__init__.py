"""Parts of the HTML report: content (plain data), media (data URIs), plots (SVG), labels, tables, cards, page."""
