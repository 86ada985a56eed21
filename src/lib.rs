//! Tableside: a web server that serves whole sites out of a folder.
