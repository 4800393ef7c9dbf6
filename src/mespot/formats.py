"""Endings of the files that hold frames and videos."""

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"}
VIDEOS |= {".mts", ".m2ts", ".3gp", ".ogv", ".vob"}
