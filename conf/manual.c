/* manual.c - heloise-settings(5) and heloise-log(7), made from settings.def and log.def
 *
 * Runs while building: `manual settings` or `manual log`, mdoc on standard output. */
#include <stdio.h>
#include <string.h>

#include "common/settings.h"
#include "common/verdict.h"

/* text for mdoc: a backslash is escaped, a line does not begin with a control character */
static void put(const char *s)
{
  if (*s == '.' || *s == '\'')
    fputs("\\&", stdout);
  for (; *s; s++)
    if (*s == '\\')
      fputs("\\e", stdout);
    else
      putchar(*s);
}

static void head(const char *name, const char *section, const char *about)
{
  printf(".Dd $Mdocdate$\n.Dt %s %s\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n.Sh DESCRIPTION\n", name,
         section, name, about);
}

/* ---- heloise-settings(5) */

static const struct {
  const char *type, *about;
} types[] = {
  {"TEXT", "text"},
  {"FQDN", "a full domain name"},
  {"ADDRESS", "a mail address or a local part"},
  {"YESNO", "yes or no"},
  {"NUMBER", "a number"},
  {"SIZE", "a size in bytes, or with k, m or g"},
  {"DURATION", "a duration with ms, s, m, h, d or w; without a unit, seconds"},
  {"NETWORKS", "addresses and networks, each as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"},
  {"SERVERS", "addresses, which may stand in brackets, each with @PORT where it is not 53"},
  {"MAILBOX", "a path under the home directory that ends with a slash"},
  {"HELOPOLICY", "junk, normal or strict"},
  {"TLSHISTORY", "defer or warn"},
  {"EIGHTBITSIGNED", "other-mx, convert, send or bounce"},
};

static const char *about_type(const char *type)
{
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i].type, type) == 0)
      return types[i].about;
  return "text";
}

static void print_bounds(const struct setting *s)
{
  const char *unit = strcmp(s->type, "DURATION") == 0 ? " ms" : strcmp(s->type, "SIZE") == 0 ? " bytes" : "";

  if (*unit || strcmp(s->type, "NUMBER") == 0)
    printf(", %llu to %llu%s", (unsigned long long)s->min, (unsigned long long)s->max, unit);
}

static void settings_page(void)
{
  head("heloise-settings", "5", "settings of the mail transfer agent Heloise");
  puts("The table\n.Pa settings\nin the control directory holds a name and a value on each line.\n"
       ".Ic heloise get\nshows all,\n.Ic heloise set\nchanges one,\n.Ic heloise reload\n"
       "puts it in force; see\n.Xr heloise 8 .\nWhat is not there has its default.\n"
       ".Bl -tag -width Ds");
  for (size_t i = 0; i < settings_count(); i++) {
    const struct setting *s = settings_row(i);
    printf(".It Ic %s\n", s->name);
    put(s->help);
    printf(".\nValue: %s", about_type(s->type));
    print_bounds(s);
    if (!s->value)
      puts(".\nIt has no default and must be set.");
    else if (*s->value)
      printf(".\nDefault:\n.Li \"%s\" .\n", s->value);
    else
      puts(".\nDefault: empty.");
  }
  puts(".El\n.Sh SEE ALSO\n.Xr heloise-tables 5 ,\n.Xr heloise 8");
}

/* ---- heloise-log(7) */

struct event {
  const char *name, *fields, *help;
};

static const struct event events[] = {
#define LOG1(n, a, help) {#n, #a, help},
#define LOG2(n, a, b, help) {#n, #a " " #b, help},
#define LOG3(n, a, b, c, help) {#n, #a " " #b " " #c, help},
#define LOG4(n, a, b, c, d, help) {#n, #a " " #b " " #c " " #d, help},
#define LOG5(n, a, b, c, d, e, help) {#n, #a " " #b " " #c " " #d " " #e, help},
#define LOG6(n, a, b, c, d, e, g, help) {#n, #a " " #b " " #c " " #d " " #e " " #g, help},
#include "common/log.def"
};

static void log_page(void)
{
  head("heloise-log", "7", "events in the log of the mail transfer agent Heloise");
  puts("All programs write their log on standard error, one line for each event:\n"
       "its name, then fields as\n.Ar name Ns = Ns Ar value .\n"
       "The id of a message comes first where there is one.\n"
       "A value that is empty or holds a space, an equals sign, a quote or a backslash stands in\n"
       "double quotes; in a value, bytes other than printable ASCII, quotes and backslashes are\n"
       "written as\n.Li \\exHH .\nA field that is not known is a\n.Li - .\n"
       ".Bl -tag -width Ds");
  for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
    printf(".It Ic %s Ar %s\n", events[i].name, events[i].fields);
    put(events[i].help);
    puts(".");
  }
  puts(".El\n.Sh SEE ALSO\n.Xr heloise 8");
}

int main(int argc, char **argv)
{
  if (argc == 2 && strcmp(argv[1], "settings") == 0)
    settings_page();
  else if (argc == 2 && strcmp(argv[1], "log") == 0)
    log_page();
  else
    return EXIT_USAGE;
  return fflush(stdout) == 0 ? EXIT_OK : EXIT_IOERR;
}
