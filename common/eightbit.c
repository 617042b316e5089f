/* eightbit.c - what becomes of 8-bit content and over-long lines at one peer. Pure. */
#include "common/eightbit.h"

#include <string.h>

#define SIGNED "the message is signed; "

/* a signed 8-bit message where 8BITMIME is not offered: while there are other hosts, and at
 * the last one */
static const struct {
  const char *word;
  struct {
    enum eightbit_form form;
    const char *reason;
  } others, last;
} policies[] = {
  [EIGHTBIT_OTHER_MX] = {"other-mx",
    {FORM_LATER, SIGNED "no 8BITMIME here: other hosts are tried first"},
    {FORM_7BIT, SIGNED "no host with 8BITMIME was left: converted to 7 bits"}},
  [EIGHTBIT_CONVERT] = {"convert",
    {FORM_7BIT, SIGNED "no 8BITMIME here: converted to 7 bits (eightbit-signed convert)"},
    {FORM_7BIT, SIGNED "no 8BITMIME here: converted to 7 bits (eightbit-signed convert)"}},
  [EIGHTBIT_SEND] = {"send",
    {FORM_8BIT_BARE, SIGNED "no 8BITMIME here: 8 bits sent all the same (eightbit-signed send)"},
    {FORM_8BIT_BARE, SIGNED "no 8BITMIME here: 8 bits sent all the same (eightbit-signed send)"}},
  [EIGHTBIT_BOUNCE] = {"bounce",
    {FORM_BARRED, SIGNED "no 8BITMIME here: neither converted nor sent (eightbit-signed bounce)"},
    {FORM_BARRED, SIGNED "no 8BITMIME here: neither converted nor sent (eightbit-signed bounce)"}},
};

int eightbit_policy_read(const char *s, size_t len, enum eightbit_policy *p)
{
  for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
    if (strlen(policies[i].word) == len && memcmp(policies[i].word, s, len) == 0) {
      *p = (enum eightbit_policy)i;
      return 0;
    }
  return -1;
}

/* whether the message holds bytes this peer did not say it takes */
static int lacks_8bit(const struct eightbit_case *c)
{
  return c->has_8bit && !c->is_offered;
}

enum eightbit_form eightbit_choose(const struct eightbit_case *c)
{
  if (lacks_8bit(c) && c->is_signed)
    return c->has_others ? policies[c->policy].others.form : policies[c->policy].last.form;
  if (lacks_8bit(c))
    return FORM_7BIT;
  return c->has_long_lines && !c->is_signed ? FORM_SHORT_LINES : FORM_AS_IS;
}

const char *eightbit_reason(const struct eightbit_case *c)
{
  if (lacks_8bit(c) && c->is_signed)
    return c->has_others ? policies[c->policy].others.reason : policies[c->policy].last.reason;
  if (lacks_8bit(c))
    return "no 8BITMIME here: converted to 7 bits";
  if (c->has_long_lines)
    return c->is_signed ? SIGNED "lines over 998 bytes are left as they are"
                        : "lines over 998 bytes: encoded";
  return "";
}
