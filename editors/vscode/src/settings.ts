/** What of the editor's settings is the server's business, and how the switches are set. */

type Section = Readonly<Record<string, unknown>>;

/** Settings of the extension itself, which the server would take for misspelt ones. */
const CLIENT_SETTINGS = new Set(["path", "denoisingView", "trace", "drafts"]);

/** The section `lacuna` as the server is to see it. */
export function forServer(section: Section): Record<string, unknown> {
  const settings = Object.entries(section).filter(([name]) => !CLIENT_SETTINGS.has(name));
  return { ...Object.fromEntries(settings), drafts: section.denoisingView !== false };
}

/** Whether anything is offered in a language. */
export function isOn(section: Section, languageId: string): boolean {
  return section.enable !== false && languages(section)[languageId] !== false;
}

/** The setting `lacuna.languages` with one language switched over. */
export function withLanguageToggled(section: Section, languageId: string): Record<string, unknown> {
  const { [languageId]: before, ...others } = languages(section);
  // On is what a language is that is not named.
  return before === false ? others : { ...others, [languageId]: false };
}

function languages(section: Section): Record<string, unknown> {
  const { languages } = section;
  return typeof languages === "object" && languages !== null ? { ...languages } : {};
}
