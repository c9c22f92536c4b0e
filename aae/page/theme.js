// The root's data-theme holds the theme: the system's until the reader chooses another. It is set before the page is
// drawn. A "themechange" event notifies the parts that draw with their own colours.
{
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;

  const apply = (theme) => {
    root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
    document.dispatchEvent(new Event("themechange"));
  };
  const current = () => chosen ?? (system.matches ? "dark" : "light");

  apply(current());
  system.addEventListener("change", () => apply(current()));
  addEventListener("beforeprint", () => apply("light"));
  addEventListener("afterprint", () => apply(current()));
  addEventListener("DOMContentLoaded", () => {
    apply(current());
    document.getElementById("theme").addEventListener("click", () => {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      apply(chosen);
    });
  });
}
