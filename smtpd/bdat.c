/* bdat.c - the argument of BDAT. Pure.
 *
 *   bdat-cmd   ::= "BDAT" SP chunk-size [ SP end-marker ] CR LF
 *   chunk-size ::= 1*DIGIT
 *   end-marker ::= "LAST"
 */
#include "smtpd/bdat.h"

#include <strings.h>

int bdat_parse(const char *arg, size_t len, uint64_t *size, int *is_last)
{
  size_t i = 0;

  *size = 0;
  *is_last = 0;
  for (; i < len && arg[i] >= '0' && arg[i] <= '9'; i++) {
    unsigned int digit = (unsigned int)(arg[i] - '0');
    if (*size > (UINT64_MAX - digit) / 10)
      return -1;
    *size = *size * 10 + digit;
  }
  if (i == 0)
    return -1;
  if (i == len)
    return 0;
  while (i < len && (arg[i] == ' ' || arg[i] == '\t'))
    i++;
  *is_last = len - i == 4 && strncasecmp(arg + i, "LAST", 4) == 0 && (arg[i - 1] == ' ' || arg[i - 1] == '\t');
  return *is_last ? 0 : -1;
}
