"""Parts of the HTML report: content (plain data), media (data URIs), plots (SVG), cards (queries), style and script."""
