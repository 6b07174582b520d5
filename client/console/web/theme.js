// Before the first paint: the scheme that was chosen here, else that of the system. Not a module,
// since modules run after the page was drawn.
try {
  const chosen = localStorage.getItem('fatwal.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // No storage: the system's scheme.
}
