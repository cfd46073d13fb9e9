// Before the first paint: the theme that was chosen here, or none, which leaves it to the system.
try {
  const theme = localStorage.getItem("weft-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* storage may be forbidden; the system's theme is fine */ }
