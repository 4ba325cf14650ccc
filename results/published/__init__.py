"""Published curves that figures are drawn against; `SOURCES.md` says where each file comes from."""
