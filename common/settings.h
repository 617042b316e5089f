/* settings.h - the settings in force, typed
 *
 * settings.def is the one place that lists them. Programs load them from the compiled
 * tables and read the fields of `settings`; commands use the functions on names. */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/table.h"

struct settings {
#define SETTING_TEXT const char *
#define SETTING_FQDN const char *
#define SETTING_ADDRESS const char *
#define SETTING_YESNO uint64_t
#define SETTING_NUMBER uint64_t
#define SETTING_SIZE uint64_t
#define SETTING_DURATION uint64_t
#define SETTING_SERVERS const char *
#define SETTING_MAILBOX const char *
#define SETTING_HELOPOLICY const char *
#define SETTING_TLSHISTORY const char *
#define SETTING_EIGHTBITSIGNED const char *
#define SETTING_RATE const char *
#define SETTING_EARLYTALKER const char *
#define SETTING_BACKENDS const char *
#define SETTING_MECHANISMS const char *
#define SETTING_AUTHINCLEAR const char *
#define SETTING_MODE uint64_t
#define SETTING_NETWORKS const char *
#define SETTING(field, name, type, value, min, max, help) SETTING_##type field;
#include "common/settings.def"
#undef SETTING
};

/* the settings in force; all zero until settings_load() */
extern struct settings settings;

/* loads all settings from the compiled tables. 0; or -1 with *bad naming the setting
 * whose value does not pass its check (the tables were not made by `heloise build`);
 * `settings` is unchanged then. */
int settings_load(const struct table *t, const char **bad);

/* one row of settings.def */
struct setting {
  const char *name, *type, *value /* default, NULL if it must be set */, *help;
  uint64_t min, max;
};
size_t settings_count(void);
const struct setting *settings_row(size_t i);
/* NULL when there is no such setting */
const struct setting *settings_find(const char *name, size_t len);
/* 0, or -1 with a sentence in why (replaced) that says what was expected */
int settings_check(const struct setting *s, const char *value, size_t len, stralloc *why);

#endif
