mod config;
mod formats;
mod loading;
