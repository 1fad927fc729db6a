// With LANG=C, WebKitGTK says that the language is "C". Intl throws at that, and the page stays blank.
(function () {
  'use strict';
  try {
    new Intl.NumberFormat(navigator.language);
    new Intl.NumberFormat();
  } catch {
    const english = function (value) {
      return { configurable: true, get: () => value };
    };
    Object.defineProperty(navigator, 'language', english('en'));
    Object.defineProperty(navigator, 'languages', english(['en']));
    for (const name of ['NumberFormat', 'DateTimeFormat', 'RelativeTimeFormat', 'PluralRules', 'Collator', 'ListFormat']) {
      const original = Intl[name];
      if (typeof original !== 'function') continue;
      Intl[name] = new Proxy(original, {
        construct: (target, [locale, options]) => new target(locale ?? 'en', options),
        apply: (target, self, [locale, options]) => Reflect.apply(target, self, [locale ?? 'en', options]),
      });
    }
  }
})();
