return require('lacuna.server').config()
