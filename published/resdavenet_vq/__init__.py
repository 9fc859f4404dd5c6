"""Files of wnhsu/ResDAVEnet-VQ."""
