/* main.c -- a first form: lorash file.lua, lorash -e code. */
#include "kernels/kernels.h"
#include "lua/bind.h"
#include "lua/open.h"

#include <stdio.h>
#include <string.h>

#pragma weak device_close /* until kernels/device.c has landed */

int main(int argc, char **argv)
{
    lua_State *L;
    if (open_state(&L)) {
        fprintf(stderr, "error: %s\n", status_message());
        return 1;
    }
    int status = 0;
    if (argc > 2 && !strcmp(argv[1], "-e"))
        status = luaL_dostring(L, argv[2]);
    else if (argc > 1)
        status = luaL_dofile(L, argv[1]);
    if (status)
        fprintf(stderr, "error: %s\n", lua_tostring(L, -1));
    open_close(L);
    if (device_close)
        device_close(bind_host.device);
    return status ? 1 : 0;
}
