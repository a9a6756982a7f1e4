/* The generated table of asset.c; ends with an entry whose path is NULL. */
#pragma once

#include "status/asset.h"

extern const Asset asset_table[];
